//! channelgate: an authenticating reverse proxy for conda channels.
//!
//! Clients point their channels at the gate. It checks a request's token against a memory in front of its token store and streams
//! index and package bytes from an upstream repository. This page is the map; each module's own page says what it owns and what it
//! must never do.
//!
//! # The life of a request
//!
//! ```text
//! bytes ─▶ Request
//!   1 RequestTarget::parse(path)            conda     borrows         target | 400
//!   2 auth::extract(&target, &headers)      auth      borrows         credential | none | 400
//!   3 secret.digest()                       token     32 bytes        the secret goes out of scope here
//!   4 verifier.recall(&digest) | lookup     verify    memory          Known | Unknown   (awaits only on a miss)
//!   5 policy::decide(&caller, &asked, now)  policy    pure            Permit | DenyReason
//!   6 fetch(&permit)                        cache / index / upstream  Served
//!   7 respond::ok | respond::refuse         gateway                   Response
//! body ends or is dropped ─▶ access-log line and counters, exactly once
//! ```
//!
//! The whole of it is [`gateway`]. Each step consumes what the one before made: no byte leaves without a [`policy::Permit`], by types and
//! not by discipline.
//!
//! # Layers
//!
//! ```text
//! L9  app  cli                       composition root; the only place that knows every component
//! L8  config                         raw file -> meaning
//! L7  gateway  admin  anaconda       faces: data plane, admin plane, what the anaconda tools ask for
//!     load                           the other side of the wire: asks gates and mirrors as clients do, to measure them
//!     face                           what they share: who asks, problem bodies, the objects that are shown
//! L6  index                          indexes inspected, of one generation; what they say of packages: above the cache that keeps them
//! L5  verify  ledger  cache  keys    memories in front of the ports: tokens, their last use, packages, what signs API keys
//! L4  store  upstream  server        ports (I/O, no policy): token store, upstream repositories, listeners
//! L3  auth  policy          ┐
//! L2  token  account        │ pure: no tokio, hyper, files, sockets, await, clock; `now` is an argument
//! L1  conda  semantics      ┘ conda vocabulary and path grammar; HTTP semantics without I/O
//! L0  metrics  logging  reading  digest_hash  byte_set;  clock  passage below them
//! ```
//!
//! A module names only modules of lower layers; `tests/it/layering.rs` holds that. The crate is a library with a small binary so that
//! tests, benches and fuzz targets reach every part; its items are not a stable interface.
//!
//! # I want to add …
//!
//! | | touch |
//! | --- | --- |
//! | a carrier | `auth/credential.rs`, `auth/extract.rs`, README; in a URL also `conda/redact.rs` |
//! | an upstream kind | `upstream/<kind>.rs`, a variant in `upstream.rs`, `config/raw.rs`, the reference configuration |
//! | a metric | `metrics.rs` or the component's `meters.rs`, one increment, README |
//! | a store backend | `store/<name>.rs`, a variant, `config/raw.rs`, a line in the contract suite |
//! | a kind of file to the cache | `cache.rs` (`Kind`), `index/views.rs` (`Subject`) |
//! | a route of the admin API | `admin/<resource>.rs`, its name in that file's `router`, `tests/it/admin/<resource>.rs` |
//! | something that an anaconda tool asks for | `anaconda/<resource>.rs`, its `router` in `anaconda.rs`, `tests/it/anaconda/<resource>.rs` |
//! | a refusal | `policy/decision.rs` and a row in its tests; the compiler names the rest |
//! | a profile of load | `load/plan.rs`, `load/discovery.rs` if it needs other files, `cli/args/bench.rs`, README |
//! | a configuration key | `config/raw.rs`, `config/channelgate.toml`; a test names what is missing |

// The future of a command holds those of everything below it.
#![recursion_limit = "256"]

pub mod account;
pub mod admin;
pub mod anaconda;
pub mod app;
pub mod auth;
mod byte_set;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod conda;
pub mod config;
pub mod digest_hash;
pub mod face;
pub mod gateway;
pub mod index;
pub mod keys;
pub mod ledger;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod passage;
pub mod policy;
pub mod reading;
pub mod semantics;
pub mod server;
pub mod store;
pub mod token;
pub mod upstream;
pub mod verify;
