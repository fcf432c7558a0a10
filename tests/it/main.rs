//! Integration tests, in one crate so that they link once.

#![allow(clippy::unwrap_used, reason = "tests")]

mod contract;
mod embedded;
mod fixture;
mod hdfs;
mod history;
mod queue;
mod s3;
mod salvage;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod zookeeper;
