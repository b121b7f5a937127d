//! What is counted of lookups.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};

/// The verifier's metrics. No label holds a client's string.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Lookups that memory answered with a token.
    pub hit: IntCounter,
    /// Lookups that the store answered with a token.
    pub miss: IntCounter,
    /// Lookups of digests that nobody was issued.
    pub unknown: IntCounter,
    /// Lookups that nobody could answer.
    pub unavailable: IntCounter,
    /// Lookups that found no place among the questions with the store.
    pub overloaded: IntCounter,
    /// Lookups that were not put to the store because their network had been wrong too often.
    pub limited: IntCounter,
    /// Questions put to the store.
    pub store_queries: IntCounter,
    /// 1 while the store answers.
    pub store_up: IntGauge,
    /// Known tokens in memory.
    pub known: IntGauge,
    /// From the making of a change to its being applied here, in seconds.
    pub revocation_lag: Histogram,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lookups = IntCounterVec::new(
            Opts::new("channelgate_token_lookups_total", "Token lookups by how they were answered."),
            &["result"],
        )?;
        let store_queries = IntCounter::new(
            "channelgate_token_store_queries_total",
            "Token lookups that were put to the store; one for each digest, however many asked.",
        )?;
        let store_up = IntGauge::new("channelgate_store_up", "1 while the token store answers, else 0.")?;
        let known = IntGauge::new("channelgate_known_tokens", "Known tokens in memory.")?;
        let revocation_lag = Histogram::with_opts(
            HistogramOpts::new(
                "channelgate_revocation_lag_seconds",
                "From the making of a change to its being applied by this gate.",
            )
            .buckets(exponential_buckets(0.001, 2.0, 16)?),
        )?;
        registry.register(Box::new(lookups.clone()))?;
        registry.register(Box::new(store_queries.clone()))?;
        registry.register(Box::new(store_up.clone()))?;
        registry.register(Box::new(known.clone()))?;
        registry.register(Box::new(revocation_lag.clone()))?;
        let result = |result| lookups.with_label_values(&[result]);
        Ok(Self {
            hit: result("hit"),
            miss: result("miss"),
            unknown: result("unknown"),
            unavailable: result("unavailable"),
            overloaded: result("overloaded"),
            limited: result("limited"),
            store_queries,
            store_up,
            known,
            revocation_lag,
        })
    }
}
