//! What may be said of a token at any moment, known from outside: the truth, and what was wrong between the store and the gate.

use std::collections::HashMap;
use std::time::Duration;

use crate::token::TokenDigest;

/// What the store says of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Alive,
    Ended,
}

/// How the store can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Reached,
    Unreachable,
    /// So slow that either may be found.
    Doubtful,
}

/// A moment: of the clock that counts suspended time, and of the one that does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) uptime: Duration,
    pub(super) active: Duration,
}

/// A request, and what the gate was bound to when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) digest: TokenDigest,
    pub(super) came: Moment,
    floor: Duration,
}

/// Watches one schedule.
#[derive(Debug)]
pub(super) struct Oracle {
    max_staleness: Duration,
    outage_grace: Duration,
    /// How long the gate may take to notice that the store was lost or is back.
    notice: Duration,
    reach: Vec<(Moment, Reach)>,
    truth: HashMap<TokenDigest, Vec<(Duration, State)>>,
    first_asked: HashMap<TokenDigest, Duration>,
    /// Nothing older than this may be said of anything.
    floor: Duration,
    /// Nor of this token: the gate made a change to it and acknowledged that.
    floors: HashMap<TokenDigest, Duration>,
    /// The latest outage that the gate noticed and that is over.
    missed: Option<(Duration, Duration)>,
    /// The last disturbance that can cost a valid token a 503.
    disturbed: Duration,
    pub(super) violations: Vec<String>,
    pub(super) checked: u64,
}

impl Oracle {
    pub(super) fn new(
        max_staleness: Duration,
        outage_grace: Duration,
        notice: Duration,
        now: Moment,
    ) -> Self {
        Self {
            max_staleness,
            outage_grace,
            notice,
            reach: vec![(now, Reach::Reached)],
            truth: HashMap::new(),
            first_asked: HashMap::new(),
            floor: Duration::ZERO,
            floors: HashMap::new(),
            missed: None,
            disturbed: now.active,
            violations: Vec::new(),
            checked: 0,
        }
    }

    /// The store says this of a token from now on.
    pub(super) fn becomes(&mut self, digest: TokenDigest, state: State, now: Moment) {
        self.truth.entry(digest).or_default().push((now.uptime, state));
    }

    pub(super) fn reach(&mut self, reach: Reach, now: Moment) {
        self.reach.push((now, reach));
        self.disturbed(now);
    }

    /// An outage that the gate noticed is over.
    pub(super) fn returned(&mut self, since: Duration, now: Moment) {
        self.missed = Some((since, now.uptime));
    }

    /// Something happened that may cost a valid token a 503 for a while.
    pub(super) fn disturbed(&mut self, now: Moment) {
        self.disturbed = now.active;
    }

    /// The gate acknowledged its own change to a token, which was committed at `committed`.
    pub(super) fn acknowledged(&mut self, digest: TokenDigest, committed: Duration) {
        let floor = self.floors.entry(digest).or_default();
        *floor = committed.max(*floor);
    }

    pub(super) fn came(&mut self, digest: TokenDigest, came: Moment) -> Request {
        self.first_asked.entry(digest).or_insert(came.uptime);
        let floor = self.floors.get(&digest).copied().unwrap_or_default().max(self.floor);
        Request { digest, came, floor }
    }

    /// The gate said this of the request's token.
    pub(super) fn said(&mut self, request: Request, said: State, now: Moment) {
        self.checked += 1;
        let bound = self.bound(now);
        let since = now.uptime.saturating_sub(bound).max(request.floor);
        let possible = self.states(&request.digest, since, now.uptime);
        if !possible.contains(&said) {
            let name = &request.digest.as_bytes()[..2];
            let history = self.truth.get(&request.digest);
            self.violations.push(format!(
                "{said:?} was said of {name:?} at {now:?}, asked at {:?}; bound {bound:?}, floor {:?}, true since: {history:?}",
                request.came, request.floor,
            ));
        }
        let first_asked = self.first_asked.get(&request.digest).copied().unwrap_or_default();
        let asked_too_early = self.states(&request.digest, first_asked, now.uptime).contains(&State::Absent);
        if said == State::Absent && !asked_too_early {
            self.violations.push(format!(
                "a token was called unknown at {now:?} that was never asked for before it was issued"
            ));
        }
        self.learn(&request.digest, said);
    }

    /// The gate said that it could say nothing, and why.
    pub(super) fn unavailable(&mut self, request: Request, now: Moment) {
        self.checked += 1;
        if request.came.active.saturating_sub(self.disturbed) > self.notice && self.is_quiet() {
            self.violations.push(format!(
                "nothing was said at {now:?} (asked at {:?}) although nothing was wrong since {:?}",
                request.came, self.disturbed
            ));
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(self.reach.last(), Some((_, Reach::Reached)))
    }

    /// Once something is said that came to pass in an outage, everything that did must be known.
    fn learn(&mut self, digest: &TokenDigest, said: State) {
        let Some((lost, found)) = self.missed else { return };
        let history = self.truth.get(digest).map(Vec::as_slice).unwrap_or_default();
        let before =
            history.iter().rev().find(|(at, _)| *at < lost).map_or(State::Absent, |(_, state)| *state);
        let in_outage = history.iter().rev().find(|(at, _)| *at >= lost && *at <= found);
        if in_outage.is_some_and(|(_, state)| *state == said) && said != before {
            self.floor = self.floor.max(found);
            self.missed = None;
        }
    }

    /// How old a verdict may be that is acted on now.
    fn bound(&self, now: Moment) -> Duration {
        let since = now.active.saturating_sub(self.notice);
        let mut bound = Duration::ZERO;
        for (index, (_, reach)) in self.reach.iter().enumerate() {
            let until = self.reach.get(index + 1).map_or(Duration::MAX, |(next, _)| next.active);
            if until < since {
                continue;
            }
            bound = bound.max(match reach {
                Reach::Reached => self.max_staleness,
                Reach::Unreachable => self.outage_grace,
                Reach::Doubtful => self.outage_grace.max(self.max_staleness),
            });
        }
        bound
    }

    /// What was true of a token at any moment from `since` to `until`.
    fn states(&self, digest: &TokenDigest, since: Duration, until: Duration) -> Vec<State> {
        let history = self.truth.get(digest).map(Vec::as_slice).unwrap_or_default();
        let begins = history.partition_point(|(at, _)| *at <= since);
        let first = begins.checked_sub(1).map_or(State::Absent, |index| history[index].1);
        let later = history[begins..].iter().take_while(|(at, _)| *at <= until).map(|(_, state)| *state);
        std::iter::once(first).chain(later).collect()
    }
}
