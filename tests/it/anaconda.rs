//! What the anaconda tools ask for, from outside.

mod authorize;
mod browser;
mod device;
mod errors;
mod oidc;
mod people;
mod sign_in;
