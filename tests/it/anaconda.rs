//! What the anaconda tools ask for, from outside.

mod errors;
