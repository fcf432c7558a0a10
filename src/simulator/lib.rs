//! Simulated clusters: nodes of the real core with clocks of their own, a network, a store and their faults, all from one seed. The same
//! plan leads to the same run, event for event.

pub mod campaign;
pub mod faults;
pub mod invariants;
pub mod limits;
pub mod measures;
pub mod notation;
pub mod plan;
pub mod random;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod store;
pub mod story;
pub mod trace;
pub mod world;
