//! Promise: nobody takes the record for lost that nobody has touched by hand.

use doyen_cluster::decision::{Action, Decision};

use crate::invariants::truth::Truth;

pub fn decided(truth: &Truth, decision: &Decision) -> Result<(), String> {
    if decision.action == Action::Strand && !truth.tampered {
        return Err(format!("needless stranding: {decision}"));
    }
    Ok(())
}
