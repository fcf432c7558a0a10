//! `doyen replay`: plays back what a node's flight recorder has kept.

use std::fs;

use super::args::ReplayArgs;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::print;
use crate::core::cluster::flight::replay;

/// The longest dump that is read.
const MAX_DUMP_BYTES: u64 = 1 << 30;

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let unreadable = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{}: {why}", args.dump.display()));
    let length = fs::metadata(&args.dump).map_err(|error| unreadable(&error))?.len();
    if length > MAX_DUMP_BYTES {
        return Err(unreadable(&format!("{length} bytes are more than a flight recorder keeps")));
    }
    let dump = fs::read_to_string(&args.dump).map_err(|error| unreadable(&error))?;
    let played = replay(&dump).map_err(|error| unreadable(&error))?;
    for (at, decision) in &played.decisions {
        print(&format!("{:>10} ms  {decision}", at.0))?;
    }
    for (at, exit) in &played.exits {
        print(&format!("{:>10} ms  {} ends: {exit:?}", at.0, played.node))?;
    }
    let (events, decisions) = (played.events, played.decisions.len());
    let Some(event) = played.differs_at else {
        note(format!("{events} events of {} played back, {decisions} decisions: all as recorded", played.node));
        return Ok(());
    };
    let told = format!("from event {event} of {events} on, this version does something else than what was recorded");
    Err(Failure::new(Exit::Failed, told).hint("play it back with the version that recorded it"))
}
