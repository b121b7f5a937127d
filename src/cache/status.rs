//! How a request fared with the cache: `Cache-Status` (RFC 9211), the access log's field, and the metric's label.
//!
//! | label | `Cache-Status: channelgate` | |
//! | --- | --- | --- |
//! | `hit` | `; hit` | from the disk, without asking the upstream |
//! | `refreshing` | `; hit; detail=refreshing` | a little beyond its lifetime, while the upstream is asked (`stale-while-revalidate`) |
//! | `offline` | `; hit; detail=offline` | beyond its lifetime, because nothing goes upstream |
//! | `miss` | `; fwd=miss; stored` | fetched, and kept |
//! | `collapsed` | `; fwd=miss; collapsed` | another request was fetching it already |
//! | `revalidated` | `; fwd=stale; fwd-status=304` | beyond its lifetime; the upstream said that it is still current |
//! | `replaced` | `; fwd=stale; fwd-status=200; stored` | beyond its lifetime or not the file of the index any more; the new one |
//! | `stale` | `; fwd=stale; detail=upstream-failed` | beyond its lifetime; asking for it failed (`stale-if-error`) |
//! | `passed` | `; fwd=miss` | a HEAD for a file that is not here: asked for, not kept |
//! | `bypass` | `; fwd=bypass; detail=…` | fetched, and not kept, for the reason named |

use super::through::Bypass;

/// How a request that got a file fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the disk.
    Hit,
    /// From the disk, beyond its lifetime, while the upstream is asked.
    Refreshing,
    /// From the disk, beyond its lifetime, because nothing goes upstream.
    Offline,
    /// Fetched and kept.
    Miss,
    /// Fetched by another request.
    Collapsed,
    /// From the disk, after the upstream said that it is current.
    Revalidated,
    /// Fetched in the place of an older one.
    Replaced,
    /// From the disk, beyond its lifetime, after asking failed.
    Stale,
    /// Asked for, nothing to keep.
    Passed,
    /// Fetched and not kept.
    Bypass(Bypass),
}

impl CacheStatus {
    /// The label of `channelgate_cache_requests_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Refreshing => "refreshing",
            Self::Offline => "offline",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Revalidated => "revalidated",
            Self::Replaced => "replaced",
            Self::Stale => "stale",
            Self::Passed => "passed",
            Self::Bypass(_) => "bypass",
        }
    }

    /// The value of `Cache-Status`.
    pub fn as_header(self) -> &'static str {
        match self {
            Self::Hit => "channelgate; hit",
            Self::Refreshing => "channelgate; hit; detail=refreshing",
            Self::Offline => "channelgate; hit; detail=offline",
            Self::Miss => "channelgate; fwd=miss; stored",
            Self::Collapsed => "channelgate; fwd=miss; collapsed",
            Self::Revalidated => "channelgate; fwd=stale; fwd-status=304",
            Self::Replaced => "channelgate; fwd=stale; fwd-status=200; stored",
            Self::Stale => "channelgate; fwd=stale; detail=upstream-failed",
            Self::Passed => "channelgate; fwd=miss",
            Self::Bypass(Bypass::NoStore) => "channelgate; fwd=bypass; detail=no-store",
            Self::Bypass(Bypass::DiskFull) => "channelgate; fwd=bypass; detail=disk-full",
            Self::Bypass(Bypass::DiskError) => "channelgate; fwd=bypass; detail=disk-error",
        }
    }

    /// True if the bytes are the stored ones: their `Age` counts.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Hit | Self::Refreshing | Self::Offline | Self::Stale)
    }
}
