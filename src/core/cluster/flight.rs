//! The flight recorder: the last events of a node in a bounded ring, with a state to begin from, so that what it decided can be
//! played back elsewhere, step by step and bit for bit.
//!
//! A ring of events alone could not be played back, as the state before its first event would be lost. So there are two halves, each with
//! the state before it: when the newer is full, the older is dropped.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::effect::{Effect, Exit};
use crate::event::Event;
use crate::fnv::Fnv;
use crate::ids::Moment;
use crate::node::Node;

/// The format of dumps that this code writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// Something that happened to the node, and a sum over what it wanted done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    at: Moment,
    event: Event,
    sum: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Half {
    start: Node,
    entries: Vec<Entry>,
}

/// A node with its recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    node: Node,
    older: Option<Half>,
    newer: Half,
    /// Events in a half at most.
    capacity: usize,
}

impl Recorder {
    /// Keeps at least `capacity` events, and twice as many at most; a node in a cluster of three has some twenty a second.
    pub fn new(node: Node, capacity: usize) -> Self {
        let newer = Half { start: node.clone(), entries: Vec::new() };
        Self { node, older: None, newer, capacity: capacity.max(1) }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        if self.newer.entries.len() >= self.capacity {
            let fresh = Half { start: self.node.clone(), entries: Vec::new() };
            self.older = Some(std::mem::replace(&mut self.newer, fresh));
        }
        let effects = self.node.step(now, event.clone());
        self.newer.entries.push(Entry { at: now, event, sum: sum(&effects) });
        effects
    }

    /// All that is kept, as lines of JSON: what it is, the state before, an event a line.
    pub fn dump(&self) -> String {
        let halves = || self.older.iter().chain([&self.newer]);
        let Some(first) = halves().next() else { return String::new() };
        let header = Header { flight: FORMAT, node: self.node.id().to_string() };
        let mut lines = vec![line(&header), line(&first.start)];
        lines.extend(halves().flat_map(|half| &half.entries).map(line));
        lines.concat()
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// The format.
    flight: u32,
    node: String,
}

fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).expect("all that a node holds can be written as JSON");
    text.push('\n');
    text
}

/// What came of playing a dump back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    pub node: String,
    pub events: usize,
    pub decisions: Vec<(Moment, Decision)>,
    pub exits: Vec<(Moment, Exit)>,
    /// The first event, counted from 1, after which this node wanted something else than the recorded one.
    pub differs_at: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDump {
    #[error("it is no dump of a flight recorder: line {line}: {why}")]
    Line { line: usize, why: String },
    #[error("it ends before the state of the node")]
    Short,
    #[error("it has format {0}, this version reads {FORMAT}")]
    Format(u32),
}

/// Plays a dump back.
///
/// # Errors
/// The text is no dump.
pub fn replay(dump: &str) -> Result<Replay, BadDump> {
    let bad = |line: usize, why: serde_json::Error| BadDump::Line {
        line,
        // Each line is read on its own.
        why: why.to_string().replace(" at line 1 column ", ", column "),
    };
    let mut lines = (1..).zip(dump.lines());
    let (_, first) = lines.next().ok_or(BadDump::Short)?;
    let header: Header = serde_json::from_str(first).map_err(|why| bad(1, why))?;
    if header.flight != FORMAT {
        return Err(BadDump::Format(header.flight));
    }
    let (_, state) = lines.next().ok_or(BadDump::Short)?;
    let mut node: Node = serde_json::from_str(state).map_err(|why| bad(2, why))?;
    let mut replay =
        Replay { node: header.node, events: 0, decisions: Vec::new(), exits: Vec::new(), differs_at: None };
    for (number, text) in lines {
        let entry: Entry = serde_json::from_str(text).map_err(|why| bad(number, why))?;
        let effects = node.step(entry.at, entry.event);
        replay.events += 1;
        if sum(&effects) != entry.sum {
            replay.differs_at.get_or_insert(replay.events);
        }
        for effect in effects {
            match effect {
                Effect::Decided(decision) => replay.decisions.push((entry.at, *decision)),
                Effect::Exit(exit) => replay.exits.push((entry.at, exit)),
                _ => {}
            }
        }
    }
    Ok(replay)
}

fn sum(effects: &[Effect]) -> u64 {
    let mut hasher = Fnv::default();
    effects.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::settings;
    use crate::store::{Reading, StoreAnswer};

    /// A node that founds its cluster, and then runs on for a while.
    fn flown(capacity: usize, beats: u64) -> Recorder {
        let mut recorder = Recorder::new(Node::new(settings("a", 1, &["a"]), Moment(0)), capacity);
        let mut due = recorder.step(Moment(0), Event::Wake);
        for beat in 1..=beats {
            let now = Moment(beat * 100);
            let asked = due.iter().find_map(|effect| match effect {
                Effect::Store { request, op } => Some((*request, op.clone())),
                _ => None,
            });
            let answer = |op| match op {
                crate::store::StoreOp::Read { .. } => {
                    let none = Reading { record: Ok(None), fences: Vec::new(), registered: Vec::new() };
                    StoreAnswer::Read(Box::new(none))
                }
                _ => StoreAnswer::Done { version: crate::ids::Version(1) },
            };
            let event = asked.map_or(Event::Wake, |(request, op)| Event::Answered { request, answer: answer(op) });
            due = recorder.step(now, event);
        }
        recorder
    }

    #[test]
    fn what_was_decided_is_decided_again() {
        let played = replay(&flown(1000, 20).dump()).expect("a dump is read back");
        assert_eq!((played.events, played.differs_at), (21, None));
        assert!(played.decisions.iter().any(|(_, d)| d.action == crate::decision::Action::Found), "{played:?}");
    }

    #[test]
    fn the_ring_is_bounded_and_can_be_played_back_from_its_middle() {
        let recorder = flown(8, 100);
        let played = replay(&recorder.dump()).expect("a dump is read back");
        assert!((8..=16).contains(&played.events), "{}", played.events);
        assert_eq!(played.differs_at, None);
    }

    #[test]
    fn another_course_of_events_is_noticed() {
        let dump = flown(1000, 20).dump();
        let other = dump.replacen("\"at\":300", "\"at\":3000", 1);
        assert_ne!(dump, other);
        assert!(replay(&other).expect("it can be read").differs_at.is_some());
    }

    #[test]
    fn what_is_no_dump_is_told_with_its_line() {
        assert_eq!(replay(""), Err(BadDump::Short));
        assert_eq!(replay("{\"flight\":7,\"node\":\"a\"}\n"), Err(BadDump::Format(7)));
        let cut = flown(1000, 20).dump();
        let told = replay(&cut[..cut.len() - 9]).expect_err("the last line is cut").to_string();
        assert!(told.contains("line 23"), "{told}");
    }
}
