//! What asks a gate or mirror as many conda clients would, and measures what becomes of it: `channelgate bench`.
//!
//! Generic load generators ask for one URL. Conda clients ask for indexes that they have already (304), for hundreds of shards over a few
//! connections, and for lists of packages of all sizes; and whoever guesses tokens asks for anything. These are the [`Profile`]s, and what
//! they ask for is the target's own: its index is read first ([`discover`]).
//!
//! # No coordinated omission
//!
//! With a rate, requests arrive by a schedule that knows nothing of the answers ([`Arrivals`]): whoever would have come while the target
//! stood still comes all the same, and waits. Every latency is counted from the moment at which a request was meant to be sent. Arrivals are
//! taken by whichever connection is idle; where none is, they wait for one, which counts. Whatever has no answer when the run and its grace
//! are over is counted with the time it has waited so far. Without a rate each client asks as fast as it is answered; that measures what a
//! target can bear, and its latencies are those of a target at its limit.
//!
//! A request whose turn came while a connection was idle, and that was sent late all the same, is the generator's own fault
//! ([`Effort`]): the report warns of it.
//!
//! # How
//!
//! | file | owns |
//! | --- | --- |
//! | `target.rs` | a channel's URL, its credential, and how they become a request; the only file that sees the token |
//! | `catalogue.rs` | what a channel has that can be asked for, read of its indexes |
//! | `plan.rs` | profiles: who asks for what in which order |
//! | `arrivals.rs` | when requests arrive, and whose turn it is where two targets alternate |
//! | `wire.rs` | connections, one request and its answer |
//! | `discovery.rs` | reading the indexes, and trying one request of each kind before there are thousands |
//! | `running.rs`, `lane.rs`, `alarm.rs` | threads and connections that follow the plan |
//! | `tally.rs`, `report.rs`, `chart.rs` | counting, and showing what was counted |
//!
//! `plan`, `arrivals`, `catalogue`, `tally`, `report` and `chart` are pure. Redirects are not followed: they would send the load to a host
//! that nobody named. Nothing here knows a terminal; read `cli/bench.rs` next.

mod alarm;
mod arrivals;
mod catalogue;
mod chart;
mod discovery;
mod lane;
mod plan;
mod report;
mod running;
mod tally;
mod target;
mod wire;

pub use self::arrivals::{Arrivals, Pattern, Turns};
pub use self::catalogue::Catalogue;
pub use self::chart::draw;
pub use self::discovery::{DiscoveryError, Wish, discover};
pub use self::plan::{Plan, PlanError, Profile, Shape};
pub use self::report::{Conditions, Report};
pub use self::running::{Control, Effort, Ending, Live, Outcome, Settings, Stage, run};
pub use self::tally::{Fault, Tally};
pub use self::target::{BadTarget, Carrier, Target, Token};
pub use self::wire::{Dialer, Protocol};
