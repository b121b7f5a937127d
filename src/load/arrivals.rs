//! When requests arrive, and whose turn it is where two targets alternate. Pure.

use std::time::Duration;

use fastrand::Rng;

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Independent of each other, as many people are: the gaps are exponentially distributed.
    Poisson,
    /// One after the other in equal gaps.
    Even,
}

/// The moments at which requests arrive, from the beginning of the run, never decreasing.
///
/// Of `parts` schedules of one rate, each takes its share; together they are as one.
#[derive(Clone, Debug)]
pub struct Arrivals {
    pattern: Pattern,
    /// Seconds between two arrivals, on average.
    gap: f64,
    /// Of the next one, in seconds.
    next: f64,
    random: Rng,
}

impl Arrivals {
    /// The part `part` of `parts` of a schedule of `rate` arrivals a second. The same seed gives the same schedule.
    pub fn new(pattern: Pattern, rate: f64, part: usize, parts: usize, seed: u64) -> Self {
        let gap = parts as f64 / rate;
        let mut random = Rng::with_seed(seed ^ (part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let next = match pattern {
            Pattern::Poisson => exponential(&mut random, gap),
            Pattern::Even => gap * part as f64 / parts as f64,
        };
        Self { pattern, gap, next, random }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Beyond what a duration holds, nothing arrives any more.
        let arrival = Duration::try_from_secs_f64(self.next).ok()?;
        self.next += match self.pattern {
            Pattern::Poisson => exponential(&mut self.random, self.gap),
            Pattern::Even => self.gap,
        };
        Some(arrival)
    }
}

fn exponential(random: &mut Rng, mean: f64) -> f64 {
    // `f64` is below 1, so that the logarithm is finite.
    -mean * (1.0 - random.f64()).ln()
}

/// Whose turn it is. Two targets alternate in slices of equal length, in pairs of one of each: A B, B A, A B, … so that what drifts (heat,
/// neighbours, caches) meets both alike. One target alone has every slice.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    targets: usize,
    length: Duration,
}

impl Turns {
    /// `targets` (1 or 2) in slices of `length`, which is not zero.
    pub fn new(targets: usize, length: Duration) -> Self {
        Self { targets: targets.clamp(1, 2), length: length.max(Duration::from_millis(1)) }
    }

    /// The slice that `elapsed` is in.
    pub fn slice(&self, elapsed: Duration) -> usize {
        usize::try_from(elapsed.as_nanos() / self.length.as_nanos()).unwrap_or(usize::MAX)
    }

    /// The target whose slice it is.
    pub fn owner(&self, slice: usize) -> usize {
        if self.targets == 1 { 0 } else { (slice % 2) ^ (slice / 2 % 2) }
    }

    /// When, in the run, it is `own` in the target's own time, which passes in its slices only.
    pub fn in_run(&self, target: usize, own: Duration) -> Duration {
        if self.targets == 1 {
            return own;
        }
        let pair = self.slice(own);
        let first = pair.saturating_mul(2);
        let slice = if self.owner(first) == target { first } else { first.saturating_add(1) };
        let into = Duration::from_nanos_u128(own.as_nanos() % self.length.as_nanos());
        self.begin(slice).saturating_add(into)
    }

    /// When the target may ask: now (`elapsed`), or at the beginning of its next slice.
    pub fn next_turn(&self, target: usize, elapsed: Duration) -> Duration {
        let slice = self.slice(elapsed);
        let own = (0..3).map(|ahead| slice.saturating_add(ahead)).find(|slice| self.owner(*slice) == target);
        match own {
            Some(own) if own > slice => self.begin(own),
            Some(_) | None => elapsed,
        }
    }

    /// How much of `elapsed` was the target's own.
    pub fn own(&self, target: usize, elapsed: Duration) -> Duration {
        if self.targets == 1 {
            return elapsed;
        }
        let slice = self.slice(elapsed);
        let before = self.begin(slice / 2);
        // Of the pair that is under way.
        let first = slice - slice % 2;
        let within = |slice: usize| elapsed.saturating_sub(self.begin(slice)).min(self.length);
        let own = if self.owner(first) == target { first } else { first.saturating_add(1) };
        before.saturating_add(within(own))
    }

    fn begin(&self, slice: usize) -> Duration {
        let nanos = self.length.as_nanos().saturating_mul(slice as u128);
        Duration::from_nanos_u128(nanos.min(u128::from(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        prop_oneof![Just(Pattern::Poisson), Just(Pattern::Even)]
    }

    proptest! {
        #[test]
        fn parts_of_a_schedule_have_its_rate_together(pattern in pattern(), rate in 10.0..10_000.0, parts in 1_usize..8, seed: u64) {
            let seconds = 4_000.0 / rate;
            let mut count = 0;
            for part in 0..parts {
                let arrivals: Vec<_> = Arrivals::new(pattern, rate, part, parts, seed)
                    .take_while(|at| at.as_secs_f64() < seconds).collect();
                prop_assert!(arrivals.is_sorted());
                count += arrivals.len();
            }
            // 4,000 are expected; six standard deviations of a Poisson process are 380.
            let slack = match pattern { Pattern::Poisson => 380.0, Pattern::Even => parts as f64 };
            prop_assert!((count as f64 - 4_000.0).abs() <= slack, "{count}");
        }

        #[test]
        fn same_seed_gives_the_same_schedule(pattern in pattern(), seed: u64) {
            let schedule = || Arrivals::new(pattern, 100.0, 0, 1, seed).take(100).collect::<Vec<_>>();
            prop_assert_eq!(schedule(), schedule());
        }

        #[test]
        fn own_time_passes_in_own_slices_only(target in 0_usize..2, own_millis in 0_u64..100_000, length in 1_u64..3_000) {
            let turns = Turns::new(2, Duration::from_millis(length));
            let own = Duration::from_millis(own_millis);
            let at = turns.in_run(target, own);
            prop_assert_eq!(turns.owner(turns.slice(at)), target);
            prop_assert_eq!(turns.next_turn(target, at), at);
            // As much of the run has been the other's, up to a slice.
            let difference = at.as_secs_f64() - 2.0 * own.as_secs_f64();
            prop_assert!(difference.abs() <= length as f64 / 1_000.0 + 1e-9, "{}", difference);
            prop_assert_eq!(turns.own(target, at), own);
            prop_assert_eq!(turns.own(0, at) + turns.own(1, at), at);
            // The same as waiting for the turn from anywhere in the other's slice before.
            let other = turns.next_turn(1 - target, at);
            prop_assert_eq!(turns.owner(turns.slice(other)), 1 - target);
        }
    }

    #[test]
    fn even_arrivals_of_all_parts_interleave() {
        let mut all: Vec<_> = (0..4)
            .flat_map(|part| Arrivals::new(Pattern::Even, 1_000.0, part, 4, 7).take(25))
            .map(|at| at.as_micros())
            .collect();
        all.sort_unstable();
        let expected: Vec<_> = (0..100_u128).map(|at| at * 1_000).collect();
        assert!(all.iter().zip(&expected).all(|(at, expected)| at.abs_diff(*expected) <= 1), "{all:?}");
    }

    #[test]
    fn gaps_of_a_poisson_schedule_are_exponential() {
        let arrivals: Vec<f64> =
            Arrivals::new(Pattern::Poisson, 1.0, 0, 1, 3).take(20_000).map(|at| at.as_secs_f64()).collect();
        let gaps: Vec<f64> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let over = |limit: f64| gaps.iter().filter(|gap| **gap > limit).count() as f64 / gaps.len() as f64;
        for limit in [0.5, 1.0, 2.0, 4.0] {
            assert!((over(limit) - (-limit).exp()).abs() < 0.015, "{limit}: {}", over(limit));
        }
    }

    #[test]
    fn two_targets_alternate_in_mirrored_pairs() {
        let turns = Turns::new(2, Duration::from_secs(1));
        let owners: Vec<_> = (0..8).map(|slice| turns.owner(slice)).collect();
        assert_eq!(owners, [0, 1, 1, 0, 0, 1, 1, 0]);
        let second = Duration::from_secs;
        assert_eq!(turns.next_turn(0, Duration::from_millis(1_500)), second(3));
        assert_eq!(turns.next_turn(1, Duration::from_millis(1_500)), Duration::from_millis(1_500));
        assert_eq!(turns.next_turn(1, Duration::from_millis(3_200)), second(5));
        assert_eq!(Turns::new(1, second(1)).next_turn(0, Duration::from_millis(1_500)).as_millis(), 1_500);
    }
}
