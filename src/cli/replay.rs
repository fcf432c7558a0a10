//! `doyen replay`: plays back what a node's flight recorder has kept.

use std::fs;
use std::io::Read;

use super::args::ReplayArgs;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::print;
use crate::core::cluster::flight::{BadDump, Replay, replay};

/// The longest dump that is read.
const MAX_DUMP_BYTES: u64 = 256 << 20;

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let unreadable = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{}: {why}", args.dump.display()));
    // A pipe or a device might never end, or never begin.
    let kind = fs::metadata(&args.dump).map_err(|error| unreadable(&error))?;
    if kind.is_dir() {
        return Err(unreadable(&"it is a directory").hint("name one of the dumps in it, like A.flight"));
    }
    if !kind.is_file() {
        return Err(unreadable(&"it is no file"));
    }
    if kind.len() > MAX_DUMP_BYTES {
        return Err(unreadable(&format!("{} bytes are more than a flight recorder keeps", kind.len())));
    }
    let mut dump = String::new();
    let file = fs::File::open(&args.dump).map_err(|error| unreadable(&error))?;
    file.take(MAX_DUMP_BYTES).read_to_string(&mut dump).map_err(|error| unreadable(&error))?;
    let Some(played) = attempted(&dump) else {
        return Err(unreadable(&"no node can be in the state that it tells, or go on from there as it tells"));
    };
    let played = played.map_err(|error| {
        let failure = unreadable(&error);
        match error {
            BadDump::Line { line, .. } if line > 2 && dump.lines().count() == line && !dump.ends_with('\n') => {
                failure.hint(format!("its end is cut: play back what `head -n {}` gives of it", line - 1))
            }
            _ => failure,
        }
    })?;
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

/// A node goes by what it has made sure of itself, and panics upon what cannot be. A dump that was damaged may tell just that.
fn attempted(dump: &str) -> Option<Result<Replay, BadDump>> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let played = std::panic::catch_unwind(|| replay(dump));
    std::panic::set_hook(hook);
    played.ok()
}
