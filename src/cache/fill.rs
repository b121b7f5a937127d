//! The life of a flight: from the question to an object on the disk.
//!
//! | step | on failure |
//! | --- | --- |
//! | look on the disk once more | – |
//! | ask the upstream, conditionally if an object is held | the upstream's own refusal |
//! | hold the length against the index, where it is known | as a mismatch, before bytes are wasted |
//! | take a draft | the file passes without being kept ([`Bypass`]) |
//! | pull the body, resuming it; write, hash and inspect in blocking tasks, one at a time | broken: once afresh if somebody has got no byte, else the end. The disk takes no more: readers go on past it |
//! | hold digest and size against the index, which is asked anew before a file is called bad | fetched afresh, once; then [`FillError::Corrupt`] |
//! | make the draft an object | the file was served, and is not kept |
//!
//! The upstream is read no further ahead of the disk than [`AHEAD_BYTES_MAX`]. No thread waits for an upstream: a blocking task is given
//! what has come so far and ends when that is written.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use tokio::task::{JoinHandle, spawn_blocking};

use super::attempt::{Attempt, Cut, Fault, Rest, State, discard};
use super::disk::{Disk, Draft, DraftError, Object};
use super::expectation::{Expectation, Wrong};
use super::facts::{Facts, Proof};
use super::filling::Head;
use super::flight::{Ending, FillError, Flight, Phase, Registered, Shared};
use super::order::{Check, Inspection, Order, Passed, Refused};
use super::resume::{Lost, Steady};
use super::through::{Bypass, Handover};
use crate::semantics::Modified;
use crate::upstream::{Answer, Ask, Fetched, Method};

/// A flight's task.
pub(super) struct Fill {
    shared: Arc<Shared>,
    disk: Disk,
    flight: Arc<Flight>,
    order: Arc<Order>,
    /// It goes on although nobody wants the file: what was corrupt is fetched afresh.
    is_unattended: bool,
}

/// What takes the bytes: one at a time, in a blocking task.
struct Writer {
    draft: Draft,
    inspection: Option<Box<dyn Inspection>>,
}

/// What came of writing.
enum Wrote {
    All(Writer),
    Refused(Refused),
    Unkept(Writer, VecDeque<Bytes>, DraftError),
}

/// Why an attempt did not get to the end of the body.
enum Stopped {
    /// Nobody wants the file, and the flight has left the map.
    Unwanted,
    Refused(Refused),
    Wrong(Wrong),
    Lost(Lost),
    /// The disk takes no more.
    Unkept(Box<(Draft, Rest)>, DraftError),
    /// A blocking task was torn down.
    TornDown,
}

/// What came of an attempt.
enum Attempted {
    /// The attempt itself says how it ended, or nobody is there to be told.
    Done,
    /// Nothing more is to be tried.
    Over(Ending),
    Wrong,
    Lost(Lost),
}

/// Bytes that wait for the disk before the upstream is read on.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// How often a flight begins.
const ATTEMPTS_MAX: u32 = 2;

impl Fill {
    pub(super) fn new(shared: Arc<Shared>, disk: Disk, flight: Arc<Flight>) -> Self {
        let order = Arc::clone(flight.order());
        Self { shared, disk, flight, order, is_unattended: false }
    }

    /// Flies. `None` if the latest attempt says how it ended.
    pub(super) async fn run(mut self, place: &Registered) -> Option<Ending> {
        if let Some(object) = self.disk.find(&self.order.key).await
            && self.is_wanted(&object).await
        {
            return Some(Ending::Whole(object));
        }
        let mut next = match self.while_wanted(place, self.ask()).await? {
            Ok(Asked::Current(object)) => return Some(Ending::Current(object)),
            Ok(Asked::New(fetched)) => Some(fetched),
            Err(error) => return Some(Ending::Failed(error)),
        };
        for attempt in 1..=ATTEMPTS_MAX {
            let is_last = attempt == ATTEMPTS_MAX;
            let fetched = match next.take() {
                Some(fetched) => fetched,
                None => match self.while_wanted(place, self.ask_for_all()).await? {
                    Ok(fetched) => fetched,
                    Err(error) => return Some(Ending::Failed(error)),
                },
            };
            match self.attempt(fetched, place).await {
                Attempted::Done => return None,
                Attempted::Over(ending) => return Some(ending),
                Attempted::Wrong if is_last => {
                    self.shared.disgrace(&self.order.key);
                    return Some(Ending::Failed(FillError::Corrupt));
                }
                Attempted::Wrong => self.is_unattended = true,
                Attempted::Lost(_) if is_last || !self.flight.crowd.is_hungry() => {
                    return Some(Ending::Failed(FillError::Broken));
                }
                Attempted::Lost(Lost::Changed(fetched)) => next = Some(fetched),
                Attempted::Lost(Lost::Broken) => {}
            }
        }
        None
    }

    /// True for an object that answers the order: somebody else was faster.
    async fn is_wanted(&self, object: &Object) -> bool {
        let facts = object.facts();
        match (&self.order.check, &self.order.held) {
            (Check::Digests(_), Some(held)) if held.facts().sha256 == facts.sha256 => false,
            (Check::Digests(digests), _) => {
                let known = digests.known().await;
                known.is_none_or(|known| known.fits(facts.sha256, facts.length))
            }
            (Check::Named(sha256), _) => facts.sha256 == *sha256,
            (Check::Inspect(_) | Check::None, None) => true,
            (Check::Inspect(_) | Check::None, Some(held)) => {
                object.validated_at() > held.validated_at() || facts.sha256 != held.facts().sha256
            }
        }
    }

    /// What `asking` brings; `None` if nobody wants it any more.
    async fn while_wanted<T>(&self, place: &Registered, asking: impl Future<Output = T>) -> Option<T> {
        let mut asking = std::pin::pin!(asking);
        loop {
            tokio::select! {
                biased;
                asked = &mut asking => return Some(asked),
                () = self.flight.crowd.left() => {
                    if !self.is_unattended && place.leave_if_unwanted() {
                        return None;
                    }
                }
            }
        }
    }

    /// Asks whether the object held is current, or for the file.
    async fn ask(&self) -> Result<Asked, FillError> {
        let conditions = match &self.order.check {
            Check::Inspect(_) | Check::None => self.order.held.as_ref().and_then(conditions),
            // That an upstream still has the bytes does not make them what the index names.
            Check::Digests(_) | Check::Named(_) => None,
        };
        let (Some(held), Some(conditions)) = (&self.order.held, conditions) else {
            return self.ask_for_all().await.map(Asked::New);
        };
        let asked_at = self.shared.clock.now();
        let ask = Ask {
            method: Method::Get,
            path: &self.order.path,
            at: self.order.at.as_ref(),
            conditions: Some(&conditions),
        };
        let fetched = self.order.upstreams.fetch(&ask).await?;
        match fetched.answer {
            Answer::Whole => Ok(Asked::New(fetched)),
            // RFC 9111 section 4.3.4: a 304 with another tag is about another version.
            Answer::NotModified if is_about(held, &fetched) => {
                Ok(Asked::Current(self.disk.confirm(held, asked_at).await))
            }
            _ => self.ask_for_all().await.map(Asked::New),
        }
    }

    async fn ask_for_all(&self) -> Result<Box<Fetched>, FillError> {
        let ask =
            Ask { method: Method::Get, path: &self.order.path, at: self.order.at.as_ref(), conditions: None };
        Ok(self.order.upstreams.fetch(&ask).await?)
    }

    /// From a head to an object.
    async fn attempt(&mut self, fetched: Box<Fetched>, place: &Registered) -> Attempted {
        let head = Head::of(&fetched);
        if head.cache_control.no_store {
            return Attempted::Over(self.bypass(Bypass::NoStore, fetched));
        }
        let mut expectation = Expectation::of(&self.order.check).await;
        if let Err(wrong) = expectation.allows(head.length, 0).await {
            return self.shared.report(&self.order, wrong, Attempted::Wrong);
        }
        let draft = match self.disk.draft(&self.order.key, head.length).await {
            Ok(draft) => draft,
            Err(error) => {
                let reason = reason(&error);
                self.shared.tell(reason, &error);
                return Attempted::Over(self.bypass(reason, fetched));
            }
        };
        let inspection = match self.inspection(fetched.upstream).await {
            Ok(inspection) => inspection,
            Err(error) => return Attempted::Over(Ending::Failed(error)),
        };
        let attempt = Arc::new(Attempt::new(head, draft.file(), &self.order.check));
        self.shared.meters.fills.inc();
        self.flight.phase.send_replace(Phase::Filling(Arc::clone(&attempt)));
        let steady = Steady::new(&self.order, fetched, self.shared.meters.clone());
        let mut resting = Some(Writer { draft, inspection });
        let pulled = self.pull(steady, &mut resting, &attempt, &mut expectation, place).await;
        match (pulled, resting.take()) {
            (Ok(upstream), Some(writer)) => self.finish(writer, &attempt, expectation, upstream).await,
            (Ok(_), None) => self.stopped(Stopped::TornDown, &attempt),
            (Err(stopped), writer) => {
                discard(writer);
                self.stopped(stopped, &attempt)
            }
        }
    }

    /// A file that is not kept passes, if it may be served without an inspection.
    fn bypass(&self, reason: Bypass, fetched: Box<Fetched>) -> Ending {
        match self.order.check {
            Check::Inspect(_) => {
                self.shared.meters.bypasses(reason).inc();
                Ending::Failed(FillError::Unkept(reason))
            }
            _ => Ending::Through(Arc::new(Handover::new(reason, fetched))),
        }
    }

    async fn inspection(&self, upstream: usize) -> Result<Option<Box<dyn Inspection>>, FillError> {
        let Check::Inspect(inspect) = &self.order.check else { return Ok(None) };
        let inspect = Arc::clone(inspect);
        let begun = spawn_blocking(move || inspect.begin(upstream)).await;
        match begun.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) {
            Ok(inspection) => Ok(Some(inspection)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(FillError::Busy),
            Err(error) => {
                self.shared.tell(Bypass::DiskError, &error);
                Err(FillError::Unkept(Bypass::DiskError))
            }
        }
    }

    /// Pulls the body to its end, writing while the next bytes come. Tells which upstream sent the last of them. In `resting` is the writer
    /// whenever it is not at work.
    async fn pull(
        &self,
        mut steady: Steady,
        resting: &mut Option<Writer>,
        attempt: &Arc<Attempt>,
        expectation: &mut Expectation,
        place: &Registered,
    ) -> Result<usize, Stopped> {
        let length = attempt.head().length;
        let mut writing = None;
        let mut ahead = Ahead::default();
        let (mut received, mut is_over) = (0_u64, false);
        loop {
            if is_over && ahead.chunks.is_empty() && resting.is_some() {
                return Ok(steady.upstream());
            }
            if let Some(writer) = resting.take_if(|_| !ahead.chunks.is_empty()) {
                let (chunks, attempt) = (ahead.take(), Arc::clone(attempt));
                writing = Some(spawn_blocking(move || writer.write(chunks, &attempt)));
            }
            tokio::select! {
                biased;
                wrote = joined(&mut writing), if writing.is_some() => {
                    writing = None;
                    match wrote {
                        Some(Wrote::All(writer)) => *resting = Some(writer),
                        Some(Wrote::Refused(refused)) => return Err(Stopped::Refused(refused)),
                        Some(Wrote::Unkept(writer, mut chunks, error)) => {
                            chunks.append(&mut ahead.take());
                            let rest = Rest { chunks, steady };
                            return Err(Stopped::Unkept(Box::new((writer.draft, rest)), error));
                        }
                        None => return Err(Stopped::TornDown),
                    }
                }
                _ = expectation.known(), if expectation.is_pending() => {
                    expectation.allows(length, received).await.map_err(Stopped::Wrong)?;
                }
                () = self.flight.crowd.left() => {
                    let is_worth_it = length.is_some_and(|length| received.saturating_mul(2) > length);
                    if !self.is_unattended && !is_worth_it && place.leave_if_unwanted() {
                        return Err(Stopped::Unwanted);
                    }
                }
                chunk = poll_fn(|context| steady.poll_chunk(context)), if !is_over && ahead.has_room() => {
                    match chunk {
                        Some(Ok(chunk)) => {
                            received = received.saturating_add(chunk.len() as u64);
                            if length.is_none() {
                                expectation.allows(None, received).await.map_err(Stopped::Wrong)?;
                            }
                            ahead.push(chunk);
                        }
                        Some(Err(lost)) => return Err(Stopped::Lost(lost)),
                        None => is_over = true,
                    }
                }
            }
        }
    }

    /// An attempt that did not get to the end of the body.
    fn stopped(&self, stopped: Stopped, attempt: &Arc<Attempt>) -> Attempted {
        match stopped {
            Stopped::Unwanted => {
                attempt.end(State::Failed(Fault::Broken));
                Attempted::Done
            }
            Stopped::Refused(refused) => {
                attempt.end(State::Failed(Fault::Corrupt));
                Attempted::Over(Ending::Failed(FillError::Refused(refused)))
            }
            Stopped::Wrong(wrong) => {
                attempt.end(State::Failed(Fault::Corrupt));
                self.shared.report(&self.order, wrong, Attempted::Wrong)
            }
            Stopped::Lost(lost) => {
                attempt.end(State::Failed(Fault::Broken));
                Attempted::Lost(lost)
            }
            Stopped::TornDown => {
                attempt.end(State::Failed(Fault::Broken));
                Attempted::Over(Ending::Failed(FillError::Broken))
            }
            Stopped::Unkept(kept, error) => {
                let reason = reason(&error);
                self.shared.tell(reason, &error);
                self.shared.meters.bypasses(reason).inc();
                if let Check::Inspect(_) = self.order.check {
                    attempt.end(State::Failed(Fault::Broken));
                    discard(kept);
                    return Attempted::Over(Ending::Failed(FillError::Unkept(reason)));
                }
                let (draft, rest) = *kept;
                attempt.end(State::Cut(Arc::new(Cut::new(reason, draft, rest))));
                Attempted::Done
            }
        }
    }

    /// All bytes are there: proves them and makes the draft an object.
    async fn finish(
        &self,
        writer: Writer,
        attempt: &Arc<Attempt>,
        mut expectation: Expectation,
        upstream: usize,
    ) -> Attempted {
        let ended = spawn_blocking(move || writer.end()).await;
        let (draft, passed) = match ended {
            Ok(Ok(ended)) => ended,
            Ok(Err(refused)) => return self.stopped(Stopped::Refused(refused), attempt),
            Err(_) => return self.stopped(Stopped::TornDown, attempt),
        };
        let proof = expectation.prove(draft.sha256_so_far(), draft.written()).await;
        let proof = match proof {
            Ok(Proof::Inspected) if passed.leads_away => Proof::Leading,
            Ok(proof) => proof,
            Err(wrong) => {
                discard(draft);
                return self.stopped(Stopped::Wrong(wrong), attempt);
            }
        };
        let facts = self.facts(&draft, attempt.head(), proof, passed, upstream);
        match spawn_blocking(move || draft.seal(facts)).await {
            Ok(Ok(object)) => {
                attempt.end(State::Whole(object));
                Attempted::Done
            }
            Ok(Err(error)) => {
                let reason = reason(&error);
                self.shared.tell(reason, &error);
                self.shared.meters.bypasses(reason).inc();
                if let Check::Inspect(_) = self.order.check {
                    attempt.end(State::Failed(Fault::Broken));
                    return Attempted::Over(Ending::Failed(FillError::Unkept(reason)));
                }
                // Its name is gone, and its bytes are there for those who read.
                attempt.end(State::Passed(reason));
                Attempted::Done
            }
            Err(_) => self.stopped(Stopped::TornDown, attempt),
        }
    }

    fn facts(&self, draft: &Draft, head: &Head, proof: Proof, passed: Passed, upstream: usize) -> Facts {
        let key = &self.order.key;
        Facts {
            channel: key.channel().clone(),
            upstreams: key.upstreams(),
            path: key.path().to_owned(),
            part: key.part(),
            length: draft.written(),
            sha256: draft.sha256_so_far(),
            proof,
            etag: head.validators.etag.clone(),
            last_modified: head.validators.last_modified.as_ref().and_then(Modified::at),
            cache_control: head.cache_control,
            generation: passed.generation,
            upstream: self.order.upstreams.name(upstream).to_owned(),
            fetched_at: self.shared.clock.now(),
        }
    }
}

/// What came of the first question.
enum Asked {
    Current(Object),
    New(Box<Fetched>),
}

/// Chunks that wait for the disk.
#[derive(Default)]
struct Ahead {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Ahead {
    fn has_room(&self) -> bool {
        self.bytes < AHEAD_BYTES_MAX
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes = self.bytes.saturating_add(chunk.len());
        self.chunks.push_back(chunk);
    }

    fn take(&mut self) -> VecDeque<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

impl Writer {
    /// Writes, hashes and inspects. Blocking.
    fn write(mut self, mut chunks: VecDeque<Bytes>, attempt: &Attempt) -> Wrote {
        while let Some(mut chunk) = chunks.pop_front() {
            let inspected = self.inspection.as_mut().map_or(Ok(()), |inspection| inspection.chunk(&chunk));
            if let Err(refused) = inspected {
                return Wrote::Refused(refused);
            }
            let before = self.draft.written();
            let wrote = self.draft.write(&chunk);
            attempt.wrote(self.draft.written());
            if let Err(error) = wrote {
                let count = self.draft.written().saturating_sub(before);
                chunk.advance(usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len()));
                chunks.push_front(chunk);
                return Wrote::Unkept(self, chunks, error);
            }
        }
        Wrote::All(self)
    }

    /// There is nothing more to write. Blocking.
    fn end(self) -> Result<(Draft, Passed), Refused> {
        let passed = match self.inspection {
            Some(inspection) => inspection.end()?,
            None => Passed::default(),
        };
        Ok((self.draft, passed))
    }
}

/// What the blocking task brings; `None` if it was torn down.
async fn joined(writing: &mut Option<JoinHandle<Wrote>>) -> Option<Wrote> {
    match writing {
        Some(writing) => writing.await.ok(),
        None => pending().await,
    }
}

/// The question whether `held` is current, if it can be put.
fn conditions(held: &Object) -> Option<HeaderMap> {
    let validators = held.facts().validators();
    let mut conditions = HeaderMap::new();
    if let Some(etag) = &validators.etag {
        conditions.insert(IF_NONE_MATCH, etag.as_header().clone());
    }
    if let Some(modified) = validators.last_modified {
        conditions.insert(IF_MODIFIED_SINCE, modified.into_header());
    }
    (!conditions.is_empty()).then_some(conditions)
}

fn is_about(held: &Object, fetched: &Fetched) -> bool {
    match (&held.facts().etag, &fetched.validators.etag) {
        (Some(held), Some(fetched)) => held.matches_weakly(fetched.as_header().as_bytes()),
        (None, _) | (_, None) => true,
    }
}

fn reason(error: &DraftError) -> Bypass {
    match error {
        DraftError::Full => Bypass::DiskFull,
        DraftError::Io(_) | DraftError::OtherFacts => Bypass::DiskError,
    }
}
