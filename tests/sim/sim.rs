//! The cluster's core in simulated clusters: each row of the fault table, and random faults from seeds.

mod bad_input;
mod cost;
mod determinism;
mod fixture;
mod pictures;
mod scenarios;
mod seeds;
mod story;
mod teeth;
