//! The data plane through its front door: a request goes in, a response comes out.

mod bodies;
mod carriers;
mod paths;
mod refusals;
