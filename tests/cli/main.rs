//! The real binary against servers that play recorded answers: exit code, stdout, stderr.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod binary;
mod config;
mod context;
mod job;
mod servers;
mod simulate;
mod store;
mod support;
mod token;
mod user;
mod watch;
