//! What is counted of the cache.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::through::Bypass;

/// The cache's metrics. No label holds a client's string.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Disk space that objects take, in bytes.
    pub bytes: IntGauge,
    /// Whole objects.
    pub objects: IntGauge,
    /// Disk space set aside for objects that are being fetched, in bytes.
    pub draft_bytes: IntGauge,
    /// Objects removed to make room.
    pub evictions: IntCounter,
    /// Disk space that evictions freed, in bytes.
    pub evicted_bytes: IntCounter,
    /// Files that were removed because they were no objects: torn, or nothing of the gate's.
    pub bad_footers: IntCounter,
    /// Objects that were removed because their bytes had changed on the disk.
    pub bad_bodies: IntCounter,
    /// Objects whose bytes were checked in the background or by command.
    pub scrubbed: IntCounter,
    /// Their bytes.
    pub scrubbed_bytes: IntCounter,
    /// Failures of the disk that no request had to end for: an object could not be opened, removed or marked.
    pub disk_errors: IntCounter,
    /// Requests, by how they fared.
    requests: Arc<[(&'static str, IntCounter)]>,
    /// Drafts begun for files that were fetched.
    pub fills: IntCounter,
    /// Orders that joined a fetch under way instead of beginning one.
    pub followers: IntCounter,
    /// Times that the rest of a body was asked for because an upstream had died.
    pub resumes: IntCounter,
    /// Files that were not what the index promised, after the index was asked anew.
    pub verification_failures: IntCounter,
    /// Fetches under way.
    pub flights: IntGauge,
    bypasses: IntCounterVec,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let bad = IntCounterVec::new(
            Opts::new(
                "channelgate_cache_bad_objects_total",
                "Files removed from the cache because they were not what they should be, by what was wrong.",
            ),
            &["fault"],
        )?;
        registry.register(Box::new(bad.clone()))?;
        let requests = IntCounterVec::new(
            Opts::new(
                "channelgate_cache_requests_total",
                "Requests for files of channels, by how the cache served them.",
            ),
            &["status"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        // From zero, so that the first of its kind can be alerted on.
        let requests = STATUSES.map(|status| (status, requests.with_label_values(&[status])));
        let bypasses = IntCounterVec::new(
            Opts::new(
                "channelgate_cache_bypass_total",
                "Files that were served or refused without being kept, by why they were not.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(bypasses.clone()))?;
        for reason in Bypass::ALL {
            bypasses.with_label_values(&[reason.as_str()]);
        }
        Ok(Self {
            requests: requests.into(),
            bytes: gauge("channelgate_cache_bytes", "Disk space that whole objects take.")?,
            objects: gauge("channelgate_cache_objects", "Whole objects in the cache.")?,
            draft_bytes: gauge(
                "channelgate_cache_draft_bytes",
                "Disk space set aside for objects that are being fetched.",
            )?,
            evictions: counter(
                "channelgate_cache_evictions_total",
                "Objects removed to make room for others.",
            )?,
            evicted_bytes: counter(
                "channelgate_cache_evicted_bytes_total",
                "Disk space that evictions freed.",
            )?,
            bad_footers: bad.with_label_values(&["footer"]),
            bad_bodies: bad.with_label_values(&["body"]),
            scrubbed: counter(
                "channelgate_cache_scrubbed_total",
                "Objects whose bytes were checked against their digest.",
            )?,
            scrubbed_bytes: counter(
                "channelgate_cache_scrubbed_bytes_total",
                "Bytes of objects that were checked against their digest.",
            )?,
            disk_errors: counter(
                "channelgate_cache_disk_errors_total",
                "Failures of the cache's disk that were survived: an object could not be opened, removed or marked.",
            )?,
            fills: counter(
                "channelgate_cache_fills_total",
                "Files that began to be fetched into the cache.",
            )?,
            followers: counter(
                "channelgate_cache_followers_total",
                "Requests that joined a fetch under way instead of beginning one.",
            )?,
            resumes: counter(
                "channelgate_cache_resumes_total",
                "Times that the rest of a body was asked for because an upstream had died.",
            )?,
            verification_failures: counter(
                "channelgate_cache_verification_failures_total",
                "Fetched files that were not what their channel's index promised, after the index was asked anew.",
            )?,
            flights: gauge("channelgate_cache_flights", "Fetches into the cache under way.")?,
            bypasses,
        })
    }

    /// A request fared like this: a word of [`CacheStatus`](super::CacheStatus), or why there was nothing to serve.
    pub(super) fn requested(&self, status: &'static str) {
        if let Some((_, counter)) = self.requests.iter().find(|(word, _)| *word == status) {
            counter.inc();
        }
    }

    /// The counter of files that were not kept for this reason.
    pub fn bypasses(&self, reason: Bypass) -> IntCounter {
        self.bypasses.with_label_values(&[reason.as_str()])
    }
}

/// The words of [`CacheStatus`](super::CacheStatus), the most frequent ones first, and why there is nothing to serve.
const STATUSES: [&str; 14] = [
    "hit",
    "refreshing",
    "offline",
    "miss",
    "collapsed",
    "revalidated",
    "replaced",
    "stale",
    "passed",
    "bypass",
    "missing",
    "negative",
    "absent",
    "failed",
];
