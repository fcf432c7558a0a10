//! Real servers for tests, and a proxy that stands before them: for any test crate, by `#[path]`.

#![allow(dead_code, reason = "each test crate uses a part of it")]

pub mod guarded;
pub mod hadoop;
pub mod hdfs;
pub mod pair;
pub mod proxy;
pub mod s3;
pub mod zookeeper;
