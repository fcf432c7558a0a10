//! Promise: nobody is shown as unreachable or badly linked who lives and whose links are good.

use doyen_cluster::effect::Status;
use doyen_cluster::ids::NodeId;

use crate::invariants::truth::Truth;

pub fn said(truth: &Truth, now: u64, id: &NodeId, status: &Status) -> Result<(), String> {
    let window = truth.window();
    let (Some(by), false) = (truth.host_of(id), truth.tampered) else { return Ok(()) };
    if truth.hosts[by].ill.recent(now, window) || truth.lies.recent(now, window) {
        return Ok(());
    }
    for subject in status.unreachable.iter().chain(&status.indirect) {
        let Some(host) = truth.host_of(subject) else { continue };
        let all_good =
            (0..truth.hosts.len()).all(|other| other == host || truth.good_between(now, host, other, window));
        if all_good {
            return Err(format!("false alarm: {id} shows {subject}, which lives and is well linked"));
        }
    }
    Ok(())
}
