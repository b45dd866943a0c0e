//! Replicante's decisions: pure functions from a compiled policy and a request to a decision.
//!
//! No I/O, no clock, no `unsafe`, no Python: the same input gives the same output.
#![forbid(unsafe_code)]

pub mod engine;
pub mod error;
pub mod fixit;
pub mod glob;
pub mod host;
pub mod journal;
pub mod json;
pub mod limits;
pub mod merkle;
pub mod path;
pub mod policy;
pub mod rate;
pub mod request;
pub mod seccomp;
