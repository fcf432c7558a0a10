//! Jobs against the real server with real drivers: what goes wrong, Spark, other clients, our own CLI.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod archives;
mod binaries;
mod bodies;
mod cli;
mod clients;
mod environment;
mod failures;
mod kills;
mod names;
mod output;
mod pyspark;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod starting;
mod wheel;
