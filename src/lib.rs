//! Doyen: a job server for Apache Spark. `ARCHITECTURE.md` is the map.

pub mod adapters;
pub mod api;
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod jobs;
pub mod maintenance;
pub mod ports;
pub mod runtime;
pub mod service;
pub mod shim;
pub use doyen_simulator as simulator;
