//! Replicante's kernel mechanisms: one module each, with a printable plan and a verified application.
//!
//! The one crate with system calls and `unsafe`; `unsafe` only in `sys`. Linux only: elsewhere the crate is empty.
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

pub mod capabilities;
pub mod cgroup;
pub mod error;
pub mod fuse;
pub mod helper;
pub mod init;
pub mod landlock;
pub mod launch;
pub mod limits;
pub mod namespaces;
pub mod net;
pub mod probe;
pub mod sys;
pub mod terminal;
pub mod title;
pub mod view;
