//! The only place that reads clocks and randomness; everything else gets them from here or as arguments.

pub mod clock;
pub mod random;
