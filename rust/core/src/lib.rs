//! Replicante's decisions: pure functions from a compiled policy and a request to a decision.
//!
//! No I/O, no clock, no `unsafe`, no Python: the same input gives the same output.
#![forbid(unsafe_code)]
