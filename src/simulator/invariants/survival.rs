//! Invariant 9: no single fault stops all nodes. Judged in runs with a single fault.

use crate::plan::Plan;

pub struct Survival {
    from_us: Option<u64>,
}

impl Survival {
    pub fn new(plan: &Plan) -> Self {
        Self { from_us: plan.survive_from_ms.map(|ms| ms * 1000) }
    }

    pub fn ended(&self, now: u64, alive: usize) -> Result<(), String> {
        if alive == 0 && self.from_us.is_some_and(|from| now >= from) {
            return Err("a single fault has stopped all nodes".into());
        }
        Ok(())
    }
}
