//! A file on its way, as one of those sees it who want it.

use std::sync::Arc;

use super::attempt::{Attempt, State};
use super::body::Body;
use super::crowd::Interest;
use super::disk::Object;
use super::flight::{Ending, FillError, Flight, Phase, Shared};
use super::follow::Follow;
use crate::semantics::{CacheControl, Span, Validators};
use crate::upstream::Fetched;

/// A file on its way, for one who wants it. While this, or a body of it, lives, the file goes on coming.
pub struct Filling {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    attempt: Arc<Attempt>,
    is_leader: bool,
    _interest: Interest,
}

/// What is known of a file before it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The upstream's.
    pub validators: Validators,
    /// Bytes of the whole file; `None` if the upstream did not say.
    pub length: Option<u64>,
    /// The upstream's freshness directives.
    pub cache_control: CacheControl,
}

impl Head {
    pub(super) fn of(fetched: &Fetched) -> Self {
        Self {
            validators: fetched.validators.clone(),
            length: fetched.length,
            cache_control: fetched.cache_control,
        }
    }

    /// True if a response that was begun with this head may go on with a file of that one.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        self.validators == other.validators && self.length == other.length
    }
}

impl Filling {
    pub(super) fn new(
        shared: Arc<Shared>,
        flight: Arc<Flight>,
        attempt: Arc<Attempt>,
        interest: Interest,
        is_leader: bool,
    ) -> Self {
        Self { shared, flight, attempt, is_leader, _interest: interest }
    }

    /// What the upstream said of the file. It may change in [`released`](Self::released).
    pub fn head(&self) -> &Head {
        self.attempt.head()
    }

    /// True for the one whose order began the flight.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// Waits until the first byte of the part may go out that `part` chooses by the head. A file that turns out bad before that is fetched
    /// afresh, by which the head may change: `part` is asked again then, and the caller has to choose by [`head`](Self::head) once more.
    /// `part` gives `None` for the whole.
    ///
    /// # Errors
    ///
    /// Why not a byte of it comes: the client can still be given a status.
    pub async fn released(&mut self, part: impl Fn(&Head) -> Option<Span>) -> Result<(), FillError> {
        loop {
            let attempt = Arc::clone(&self.attempt);
            let span = part(attempt.head());
            let (start, end) = (span.map_or(0, |span| span.start), span.map(|span| span.end));
            let mut progress = attempt.watch();
            let now = progress
                .wait_for(|now| !matches!(now.state, State::Running) || attempt.limit(now, end) > start)
                .await
                .map(|now| now.state.clone())
                .unwrap_or(State::Running);
            if !matches!(now, State::Failed(_)) {
                return Ok(());
            }
            self.attempt = next(&self.flight, &attempt).await?;
        }
    }

    /// The bytes of `span`, or all of them, as they come.
    pub fn body(&self, span: Option<Span>) -> Body {
        let interest = Interest::new(&self.flight.crowd);
        Body::following(Follow::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.flight),
            Arc::clone(&self.attempt),
            interest,
            span,
        ))
    }

    /// Waits until the file is whole and can be found on the disk.
    ///
    /// # Errors
    ///
    /// Why it is not kept: [`FillError::Unkept`] where it passed all the same.
    pub async fn whole(&self) -> Result<Object, FillError> {
        let mut attempt = Arc::clone(&self.attempt);
        loop {
            let mut progress = attempt.watch();
            let ended = progress.wait_for(|now| !matches!(now.state, State::Running)).await;
            match ended.map(|now| now.state.clone()) {
                Ok(State::Whole(object)) => return Ok(object),
                Ok(State::Passed(reason)) => return Err(FillError::Unkept(reason)),
                Ok(State::Cut(cut)) => return Err(FillError::Unkept(cut.reason)),
                Ok(State::Failed(_) | State::Running) | Err(_) => {}
            }
            attempt = next(&self.flight, &attempt).await?;
        }
    }
}

/// The attempt that comes after `failed`.
pub(super) async fn next(flight: &Flight, failed: &Arc<Attempt>) -> Result<Arc<Attempt>, FillError> {
    let mut phase = flight.phase.subscribe();
    let is_next = |phase: &Phase| match phase {
        Phase::Asking => false,
        Phase::Filling(attempt) => !Arc::ptr_eq(attempt, failed),
        Phase::Over(_) => true,
    };
    let next = phase.wait_for(is_next).await.map(|phase| phase.clone());
    match next {
        Ok(Phase::Filling(attempt)) => Ok(attempt),
        Ok(Phase::Over(Ending::Failed(error))) => Err(error),
        // It goes another way now that a response with this head cannot follow: whoever asks again is given it.
        Ok(Phase::Over(_) | Phase::Asking) | Err(_) => Err(FillError::Broken),
    }
}
