//! Visits every state that a model can reach, breadth first, so that a counterexample is as short as there can be.
//!
//! No library does it: what is checked here belongs to steps as much as to states, and the crates for it bring along far more.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// What must never be.
pub type Violation = &'static str;

pub trait Model {
    type State: Clone + Hash;
    type Step: Copy + Debug;

    fn start(&mut self) -> Self::State;
    /// All that may happen next.
    fn steps(&mut self, state: &Self::State, steps: &mut Vec<Self::Step>);
    /// # Errors
    /// The step leads to what must never be.
    fn take(&mut self, state: &Self::State, step: Self::Step) -> Result<Self::State, Violation>;
    /// The state for whoever reads a counterexample.
    fn tell(&self, state: &Self::State) -> String;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    /// Steps of the longest of all shortest ways to a state.
    pub depth: usize,
}

#[derive(Debug)]
pub struct Counterexample {
    pub violation: Violation,
    /// The steps that lead there, each with the state after it.
    pub way: Vec<String>,
    pub states: usize,
}

/// States are told apart by 64 bits of hash: of ten million, two are taken for one with a chance of 1 in 300,000.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(29) ^ self.0.rotate_left(17);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

pub type Mixed = BuildHasherDefault<Mixer>;

/// How a state was reached first: from which, by which of its steps.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    step: u16,
}

/// # Errors
/// Something that must never be can be: the shortest way there.
pub fn explore<M: Model>(model: &mut M) -> Result<Explored, Counterexample> {
    let start = model.start();
    let mut known: HashSet<u64, Mixed> = HashSet::default();
    known.insert(Mixed::default().hash_one(&start));
    let mut origins = vec![Origin { parent: 0, step: 0 }];
    let mut level = vec![(0_u32, start)];
    let mut explored = Explored { states: 1, steps: 0, depth: 0 };
    let mut steps = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for (at, state) in level {
            steps.clear();
            model.steps(&state, &mut steps);
            for (number, step) in steps.iter().enumerate() {
                let origin = Origin { parent: at, step: u16::try_from(number).expect("fewer than 65,536 steps") };
                explored.steps += 1;
                let reached = match model.take(&state, *step) {
                    Ok(reached) => reached,
                    Err(violation) => {
                        return Err(Counterexample {
                            violation,
                            way: way(model, &origins, origin),
                            states: origins.len(),
                        });
                    }
                };
                if known.insert(Mixed::default().hash_one(&reached)) {
                    next.push((u32::try_from(origins.len()).expect("fewer than 2^32 states"), reached));
                    origins.push(origin);
                }
            }
        }
        explored.depth += usize::from(!next.is_empty());
        level = next;
    }
    explored.states = origins.len();
    Ok(explored)
}

/// Goes the way again from the start, and tells of it.
fn way<M: Model>(model: &mut M, origins: &[Origin], last: Origin) -> Vec<String> {
    let mut numbers = vec![last.step];
    let mut at = last.parent;
    while at != 0 {
        let origin = origins[at as usize];
        numbers.push(origin.step);
        at = origin.parent;
    }
    let mut state = model.start();
    let mut told = Vec::new();
    for number in numbers.into_iter().rev() {
        let mut steps = Vec::new();
        model.steps(&state, &mut steps);
        let step = steps[usize::from(number)];
        match model.take(&state, step) {
            Ok(reached) => {
                told.push(format!("{step:?}\n      {}", model.tell(&reached)));
                state = reached;
            }
            Err(violation) => told.push(format!("{step:?}\n      {violation}")),
        }
    }
    told
}

/// Counters that each count up to a limit: it is known how many states there are, and how far the last is.
struct Counters {
    limit: u8,
    forbidden: Option<[u8; 3]>,
}

impl Model for Counters {
    type State = [u8; 3];
    type Step = usize;

    fn start(&mut self) -> [u8; 3] {
        [0; 3]
    }

    fn steps(&mut self, state: &[u8; 3], steps: &mut Vec<usize>) {
        steps.extend((0..3).filter(|at| state[*at] < self.limit));
    }

    fn take(&mut self, state: &[u8; 3], step: usize) -> Result<[u8; 3], Violation> {
        let mut state = *state;
        state[step] += 1;
        if self.forbidden == Some(state) { Err("forbidden") } else { Ok(state) }
    }

    fn tell(&self, state: &[u8; 3]) -> String {
        format!("{state:?}")
    }
}

#[test]
fn three_counters_up_to_nine_have_a_thousand_states() {
    let explored = explore(&mut Counters { limit: 9, forbidden: None }).expect("nothing is forbidden");
    assert_eq!(explored, Explored { states: 1000, steps: 2700, depth: 27 });
}

#[test]
fn a_counterexample_is_as_short_as_can_be() {
    let found = explore(&mut Counters { limit: 9, forbidden: Some([1, 0, 2]) }).expect_err("it can be reached");
    assert_eq!((found.violation, found.way.len()), ("forbidden", 3));
}
