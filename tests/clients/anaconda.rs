//! The real tools of Anaconda, `anaconda-auth` and `anaconda-client`, against the gate, over TLS and as people use them.
//!
//! `person.rs` is a person with a machine of their own, `terminal.rs` their terminal, `outside.rs` the rest of the world; `visitor.rs` (with
//! `html.rs`) is a browser without a window, `browser.rs` a real one, `provider.rs` an OpenID provider. The others are the tests, each of one
//! thing that people do.
//!
//! conda itself is no package of PyPI's: `conda_shim/` stands for the few modules of it that anaconda-auth imports.

mod browser;
mod channels;
mod html;
mod login;
mod oidc;
mod org;
mod outside;
mod person;
mod provider;
mod refusals;
mod terminal;
mod token_install;
mod tools;
mod visitor;

pub(crate) use self::provider::{Provider, packages as provider_packages};
