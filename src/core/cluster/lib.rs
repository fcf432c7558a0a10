//! The core of the cluster, pure: events in, effects out. No IO, clock, randomness or async; maps are ordered, so the same events lead
//! to the same effects, bit for bit. What it decides and why is in docs/split-brain.md.

pub mod changes;
pub mod decision;
pub mod detector;
pub mod downing;
pub mod effect;
pub mod encoding;
pub mod event;
#[cfg(test)]
mod fixtures;
pub mod flight;
pub mod fnv;
pub mod ids;
pub mod membership;
pub mod message;
pub mod mutations;
pub mod node;
pub mod reachability;
pub mod record;
pub mod settings;
pub mod singleton;
pub mod store;
pub mod succession;
pub mod versions;
