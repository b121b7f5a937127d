//! Places for connections: so many in all, so many from one address.
//!
//! Must never wait: a connection without a place is refused at once. Read `accept` next, which asks.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    per_source_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<Source, usize>,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    source: Source,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// [`Config::connections_max`](super::Config::connections_max) is reached.
    Everywhere,
    /// [`Config::connections_per_address_max`](super::Config::connections_per_address_max) is reached.
    ForAddress,
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 customer usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Slots {
    pub(super) fn new(max: usize, per_source_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_source_max, taken: Mutex::default() })
    }

    /// Takes a place for a connection from `address`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        let source = Source::of(address);
        let mut taken = self.taken();
        if taken.all >= self.max {
            return Err(Full::Everywhere);
        }
        let from_source = taken.by_source.entry(source).or_default();
        if *from_source >= self.per_source_max {
            return Err(Full::ForAddress);
        }
        *from_source += 1;
        taken.all += 1;
        Ok(Slot { slots: Arc::clone(self), source })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(from_source) = taken.by_source.get_mut(&self.source) {
            *from_source = from_source.saturating_sub(1);
            if *from_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IpAddr::V4(v4)),
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & NETWORK_BITS))),
        }
    }
}

/// The first 64 bits of an IPv6 address.
const NETWORK_BITS: u128 = u128::MAX << 64;

#[cfg(test)]
mod tests;
