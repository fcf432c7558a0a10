//! Which delivery is next: a lane for each target, served by turns, so that none waits behind another's.
//!
//! The outbox in the store is the queue; a lane holds a window of it. Lanes whose last delivery was slow, or not answered,
//! have together no more than half of the places: what hangs leaves the other half to the rest. (One pool for each target
//! would need as many places as there are targets; one for all would be full of those that hang.)

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries at work at once.
    pub at_work: usize,
    /// Of them, to one target.
    pub per_target: usize,
    /// Targets that are known at once; further ones wait in the store.
    pub lanes: usize,
    /// Keys of one target that are read at once.
    pub window: usize,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Start {
        target: String,
        key: String,
    },
    /// Read so many keys of this target, from its first; `loaded` follows.
    Load {
        target: String,
        limit: usize,
    },
}

/// How a delivery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// It took long, or nobody answered.
    pub slow: bool,
    /// It stands in the outbox again, due then.
    pub due_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Due, in order, not at work.
    window: VecDeque<String>,
    /// By key, whether it counts as slow.
    at_work: BTreeMap<String, bool>,
    /// The store may hold more that is due.
    more: bool,
    /// When the first of the rest is due; a timer has it too.
    due_ms: Option<i64>,
    slow: bool,
    /// It stands in a ring.
    queued: bool,
}

impl Lane {
    fn has_work(&self) -> bool {
        self.more || !self.window.is_empty()
    }
}

#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    lanes: HashMap<String, Lane>,
    /// Lanes that have work, each at most in one of the two.
    fast: VecDeque<String>,
    slow: VecDeque<String>,
    timers: BTreeSet<(i64, String)>,
    at_work: usize,
    slow_at_work: usize,
    slow_is_next: bool,
}

impl Lanes {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: HashMap::new(),
            fast: VecDeque::new(),
            slow: VecDeque::new(),
            timers: BTreeSet::new(),
            at_work: 0,
            slow_at_work: 0,
            slow_is_next: false,
        }
    }

    /// The store holds something for this target. `false`: there is no room for one more lane.
    pub fn found(&mut self, target: &str) -> bool {
        if !self.lanes.contains_key(target) {
            if self.lanes.len() >= self.limits.lanes && !self.forget_one() {
                return false;
            }
            self.lanes.insert(target.to_owned(), Lane::default());
        }
        self.lane(target).more = true;
        self.enqueue(target);
        true
    }

    /// Makes room: the lane with the longest time to its next delivery is found again later.
    fn forget_one(&mut self) -> bool {
        let Some((_, target)) = self.timers.last().cloned() else { return false };
        let lane = &self.lanes[&target];
        if lane.has_work() || !lane.at_work.is_empty() {
            return false;
        }
        self.timers.pop_last();
        self.lanes.remove(&target);
        true
    }

    /// When something is due that waits now.
    pub fn due_ms(&self) -> Option<i64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The next step, until there is none.
    pub fn next(&mut self, now_ms: i64) -> Option<Step> {
        while let Some((_, target)) = self.timers.first().filter(|(due, _)| *due <= now_ms).cloned() {
            self.timers.pop_first();
            self.lane(&target).due_ms = None;
            self.lane(&target).more = true;
            self.enqueue(&target);
        }
        while self.at_work < self.limits.at_work {
            let target = self.turn()?;
            if let Some(step) = self.step_of(target) {
                return Some(step);
            }
        }
        None
    }

    /// Whose turn it is: fast and slow ones alternate, as long as the slow have places.
    fn turn(&mut self) -> Option<String> {
        let slow_may = self.slow_at_work < (self.limits.at_work / 2).max(1) && !self.slow.is_empty();
        if slow_may && (self.slow_is_next || self.fast.is_empty()) {
            self.slow_is_next = false;
            return self.slow.pop_front();
        }
        self.slow_is_next = true;
        self.fast.pop_front()
    }

    fn step_of(&mut self, target: String) -> Option<Step> {
        let Limits { per_target, window, .. } = self.limits;
        let lane = self.lane(&target);
        lane.queued = false;
        // Else it is queued again when one of its deliveries is done.
        if lane.at_work.len() >= per_target {
            return None;
        }
        if let Some(key) = lane.window.pop_front() {
            let slow = lane.slow;
            lane.at_work.insert(key.clone(), slow);
            self.at_work += 1;
            self.slow_at_work += usize::from(slow);
            self.settle(&target);
            return Some(Step::Start { target, key });
        }
        if std::mem::take(&mut lane.more) {
            let limit = window + lane.at_work.len();
            return Some(Step::Load { target, limit });
        }
        None
    }

    /// What was read for a `Step::Load`: keys and when they are due, in order of that. `full`: there may be more.
    pub fn loaded(&mut self, target: &str, keys: Vec<(String, i64)>, full: bool, now_ms: i64) {
        let lane = self.lane(target);
        lane.more = full;
        for (key, due_ms) in keys {
            if due_ms > now_ms {
                lane.more = false;
                self.wake(target, due_ms);
                break;
            }
            if !lane.at_work.contains_key(&key) {
                lane.window.push_back(key);
            }
        }
        self.settle(target);
    }

    pub fn finished(&mut self, target: &str, key: &str, how: Finished) {
        let lane = self.lane(target);
        lane.slow = how.slow;
        if let Some(slow) = lane.at_work.remove(key) {
            self.at_work -= 1;
            self.slow_at_work -= usize::from(slow);
        }
        if let Some(due_ms) = how.due_ms {
            self.wake(target, due_ms);
        }
        self.settle(target);
    }

    /// A `Step::Load` came to nothing: it is tried again then.
    pub fn not_loaded(&mut self, target: &str, again_ms: i64) {
        self.wake(target, again_ms);
    }

    fn wake(&mut self, target: &str, due_ms: i64) {
        let lane = self.lane(target);
        if lane.due_ms.is_some_and(|before| before <= due_ms) {
            return;
        }
        if let Some(before) = lane.due_ms.replace(due_ms) {
            self.timers.remove(&(before, target.to_owned()));
        }
        self.timers.insert((due_ms, target.to_owned()));
    }

    /// A lane that has work is queued; one that has nothing left is forgotten.
    fn settle(&mut self, target: &str) {
        let lane = &self.lanes[target];
        if lane.has_work() {
            self.enqueue(target);
        } else if lane.at_work.is_empty() && lane.due_ms.is_none() {
            self.lanes.remove(target);
        }
    }

    fn enqueue(&mut self, target: &str) {
        let lane = self.lane(target);
        if std::mem::replace(&mut lane.queued, true) {
            return;
        }
        let ring = if lane.slow { &mut self.slow } else { &mut self.fast };
        ring.push_back(target.to_owned());
    }

    fn lane(&mut self, target: &str) -> &mut Lane {
        self.lanes.get_mut(target).expect("a lane is kept while it is in a ring, has a timer or is at work")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Finished = Finished { slow: false, due_ms: None };
    const SLOW: Finished = Finished { slow: true, due_ms: None };

    /// Lanes over a store of (target, number) that are all due.
    struct Scene {
        lanes: Lanes,
        store: BTreeMap<String, Vec<(String, i64)>>,
    }

    fn scene(at_work: usize, per_target: usize) -> Scene {
        let limits = Limits { at_work, per_target, lanes: 3, window: 2 };
        Scene { lanes: Lanes::new(limits), store: BTreeMap::new() }
    }

    impl Scene {
        fn knows(&self, target: &str) -> bool {
            self.lanes.lanes.contains_key(target)
        }

        fn put(&mut self, target: &str, count: usize) {
            for number in 0..count {
                self.put_due(target, &format!("{target}{number}"), 0);
            }
        }

        fn put_due(&mut self, target: &str, key: &str, due: i64) {
            let keys = self.store.entry(target.into()).or_default();
            keys.push((key.into(), due));
            keys.sort_by_key(|(_, due)| *due);
            self.lanes.found(target);
        }

        /// All that may start at this time.
        fn start(&mut self, now: i64) -> Vec<String> {
            let mut started = Vec::new();
            while let Some(step) = self.lanes.next(now) {
                match step {
                    Step::Start { key, .. } => started.push(key),
                    Step::Load { target, limit } => {
                        let keys: Vec<_> = self.store[&target].iter().take(limit).cloned().collect();
                        let full = keys.len() == limit;
                        self.lanes.loaded(&target, keys, full, now);
                    }
                }
            }
            started
        }

        fn finish(&mut self, target: &str, key: &str, how: Finished) {
            let keys = self.store.get_mut(target).unwrap();
            keys.retain(|(one, _)| one != key);
            if let Some(due) = how.due_ms {
                keys.push((key.to_owned(), due));
                keys.sort_by_key(|(_, due)| *due);
            }
            self.lanes.finished(target, key, how);
        }
    }

    #[test]
    fn targets_take_turns_however_many_wait_for_one() {
        let mut scene = scene(6, 4);
        scene.put("a", 100);
        scene.put("b", 2);
        assert_eq!(scene.start(0), ["a0", "b0", "a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn a_target_has_no_more_than_its_share_at_work_and_goes_on_when_one_is_done() {
        let mut scene = scene(10, 2);
        scene.put("a", 4);
        assert_eq!(scene.start(0), ["a0", "a1"]);
        scene.finish("a", "a1", FINE);
        assert_eq!(scene.start(0), ["a2"]);
        scene.finish("a", "a0", FINE);
        scene.finish("a", "a2", FINE);
        assert_eq!(scene.start(0), ["a3"]);
        scene.finish("a", "a3", FINE);
        assert_eq!((scene.start(0).len(), scene.lanes.at_work, scene.knows("a")), (0, 0, false));
    }

    #[test]
    fn slow_targets_have_half_of_the_places_at_most() {
        let mut scene = scene(4, 4);
        scene.put("a", 50);
        assert_eq!(scene.start(0).len(), 4);
        for key in ["a0", "a1", "a2", "a3"] {
            scene.finish("a", key, SLOW);
        }
        assert_eq!(scene.start(0), ["a4", "a5"]);
        scene.put("b", 3);
        assert_eq!(scene.start(0), ["b0", "b1"]);
        // It answers quickly again.
        scene.finish("a", "a4", FINE);
        scene.finish("b", "b0", FINE);
        assert_eq!(scene.start(0).len(), 2);
    }

    #[test]
    fn a_slow_target_is_not_starved_by_fast_ones() {
        let mut scene = scene(2, 2);
        scene.put("a", 9);
        assert_eq!(scene.start(0), ["a0", "a1"]);
        scene.finish("a", "a0", SLOW);
        scene.finish("a", "a1", SLOW);
        scene.put("b", 9);
        let started = scene.start(0);
        assert_eq!((started.len(), started.iter().filter(|key| key.starts_with('a')).count()), (2, 1));
    }

    #[test]
    fn what_is_due_later_starts_then() {
        let mut scene = scene(4, 4);
        scene.put_due("a", "late", 100);
        scene.put_due("a", "now", 0);
        assert_eq!(scene.start(10), ["now"]);
        assert_eq!(scene.lanes.due_ms(), Some(100));
        scene.finish("a", "now", Finished { slow: false, due_ms: Some(50) });
        assert_eq!((scene.start(49).len(), scene.lanes.due_ms()), (0, Some(50)));
        assert_eq!(scene.start(50), ["now"]);
        assert_eq!(scene.lanes.due_ms(), Some(100));
        assert_eq!(scene.start(100), ["late"]);
    }

    #[test]
    fn a_lane_that_waits_longest_makes_room_for_another() {
        let mut scene = scene(9, 9);
        for (target, due) in [("a", 100), ("b", 300), ("c", 200)] {
            scene.put_due(target, target, due);
        }
        assert!(scene.start(0).is_empty());
        scene.put("d", 1);
        assert!(!scene.knows("b"));
        assert_eq!(scene.start(0), ["d0"]);
        scene.put("e", 1);
        scene.put("f", 1);
        assert!(!scene.knows("c") && !scene.knows("a"));
        // All have something to do: it waits in the store.
        assert!(!scene.lanes.found("g"));
    }

    #[test]
    fn every_delivery_starts_once_in_any_order_of_ends() {
        let mut scene = scene(5, 2);
        let mut started = Vec::new();
        for (target, count) in [("a", 20), ("b", 7), ("c", 1)] {
            scene.put(target, count);
        }
        loop {
            started.extend(scene.start(0));
            let lanes = &scene.lanes.lanes;
            let busy =
                lanes.iter().find_map(|(target, lane)| Some((target.clone(), lane.at_work.keys().last()?.clone())));
            let Some((target, key)) = busy else { break };
            let slow = started.len() % 3 == 0;
            scene.finish(&target, &key, Finished { slow, due_ms: None });
        }
        let once: BTreeSet<&String> = started.iter().collect();
        assert_eq!((started.len(), once.len(), scene.lanes.lanes.len()), (28, 28, 0));
    }
}
