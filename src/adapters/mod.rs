//! Adapters: what fills the ports.

pub mod data_files;
pub mod outbound;
