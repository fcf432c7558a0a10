//! Promise: who leaves in good order, and reaches the store, is no member when it ends.

use doyen_cluster::effect::Exit;
use doyen_cluster::ids::NodeId;

use crate::invariants::truth::Truth;

pub fn exited(truth: &Truth, now: u64, id: &NodeId, exit: &Exit) -> Result<(), String> {
    let (Some(record), Some(host)) = (&truth.record, truth.host_of(id)) else { return Ok(()) };
    let t = &truth.timing;
    let lately = (t.leave_timeout + t.store_deadline.times(4)).0 * 1000;
    let well = !truth.hosts[host].store_bad.recent(now, lately) && !truth.hosts[host].ill.recent(now, lately);
    if *exit == Exit::Left && record.contains(id) && well && !truth.tampered {
        return Err(format!("left silently: {id} has left, and is still a member"));
    }
    Ok(())
}
