//! One node on real ZooKeepers and a real HDFS, which fail in every way: nobody dies, what was acknowledged stays, and clients are
//! told what they can rely on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod adopted;
mod binaries;
mod cut_off;
#[allow(dead_code, unused_imports, reason = "tests/api uses all of it")]
#[path = "../api/fixture/mod.rs"]
mod fixture;
mod lasting;
mod metadata;
mod s3;
#[path = "../servers/mod.rs"]
mod servers;
mod starts;
mod stores;
mod unknown;
mod unread;
mod wrong;
