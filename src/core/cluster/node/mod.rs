//! A node of the cluster: takes events, gives effects.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::event::Event;
use crate::ids::Moment;
use crate::settings::Settings;

/// Where a node is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// It looks for a cluster to join, or waits until it may found one.
    Seeking,
    /// It has written itself into the record, and does not know yet whether that was committed.
    Joining,
    Member,
    Leaving,
    /// It was a member, and the record is lost: it neither claims nor creates until an operator has restored it.
    Stranded,
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    settings: Settings,
}

impl Node {
    pub fn new(settings: Settings, _now: Moment) -> Self {
        Self { settings }
    }

    pub fn step(&mut self, _now: Moment, _event: Event) -> Vec<Effect> {
        Vec::new()
    }

    /// When it wants to be woken at the latest.
    pub fn next_wake(&self) -> Moment {
        Moment(0)
    }
}
