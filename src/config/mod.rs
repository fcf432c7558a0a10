//! Configuration: one struct a concern, defaults once, unknown keys refused.

mod schema;

pub use schema::*;
