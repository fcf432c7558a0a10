//! Doyen: a highly available job server for Apache Spark. `ARCHITECTURE.md` is the map.

pub mod api;
pub mod ports;
