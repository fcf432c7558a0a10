//! Which side of a split lives.

pub mod preference;
