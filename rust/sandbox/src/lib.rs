//! Replicante's kernel mechanisms: one module each, with a printable plan and a verified application.
