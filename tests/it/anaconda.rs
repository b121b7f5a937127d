//! What the anaconda tools ask for, from outside.

mod authentications;
mod authorize;
mod browser;
mod device;
mod errors;
mod keys;
mod notices;
mod oidc;
mod organizations;
mod packages;
mod people;
mod property;
mod sequences;
mod sign_in;
mod stage;
