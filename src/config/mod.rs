//! Configuration: one struct a concern, defaults once, unknown keys refused.

pub mod duration;
mod schema;

pub use schema::*;
