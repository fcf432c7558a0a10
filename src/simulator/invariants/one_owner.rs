//! Invariant 8: after the faults stop, with at least one node and the store, there is exactly one owner in time; and all is well soon after.

use crate::plan::Plan;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Some node could be an owner.
    pub anyone: bool,
    /// Exactly one node runs the singleton, the record names it, and its writes are accepted; or why not.
    pub owner: Result<(), String>,
    /// Each living node is a member and ready, and no other is a member; or why not.
    pub members: Result<(), String>,
}

pub struct Settling {
    owner_within_us: u64,
    well_within_us: u64,
    healed_at: Option<u64>,
    /// Since when there is one owner, and since when all is well.
    owner_since: Option<u64>,
    well_since: Option<u64>,
    last: Option<Order>,
}

impl Settling {
    pub fn new(plan: &Plan) -> Self {
        Self {
            owner_within_us: plan.owner_within_ms * 1000,
            well_within_us: plan.well_within_ms * 1000,
            healed_at: None,
            owner_since: None,
            well_since: None,
            last: None,
        }
    }

    pub fn healed(&mut self, now: u64) {
        self.healed_at.get_or_insert(now);
    }

    pub fn judged(&mut self, now: u64, order: &Order) -> Result<(), String> {
        let since = |before: Option<u64>, holds: bool| holds.then(|| before.unwrap_or(now));
        self.owner_since = since(self.owner_since, order.owner.is_ok() || !order.anyone);
        self.well_since =
            since(self.well_since, !order.anyone || (order.members.is_ok() && self.owner_since.is_some()));
        let waited = now - self.healed_at.unwrap_or(now);
        self.last = Some(order.clone());
        if self.owner_since.is_none() && waited > self.owner_within_us {
            return Err(format!("no owner {} ms after the healing: {:?}", waited / 1000, order.owner));
        }
        if self.well_since.is_none() && waited > self.well_within_us {
            return Err(format!("not well {} ms after the healing: {:?}", waited / 1000, order.members));
        }
        Ok(())
    }

    pub fn closed(&self) -> Result<(), String> {
        match (self.healed_at, self.well_since) {
            (Some(_), None) => Err(format!("not well at the end: {:?}", self.last)),
            _ => Ok(()),
        }
    }

    /// How long it took until there was one owner, and until all was well, in milliseconds.
    pub fn took_ms(&self) -> Option<(u64, u64)> {
        let from = self.healed_at?;
        Some(((self.owner_since? - from) / 1000, (self.well_since? - from) / 1000))
    }
}
