//! Turns, positions and times of a queue.

use proptest::prelude::*;

use super::*;

fn entry(id: &str, priority: i32, not_before_ms: i64) -> Entry {
    Entry { id: id.into(), priority: Priority::new(priority).unwrap(), not_before_ms }
}

fn queue(entries: &[(&str, i32)]) -> Queue {
    let mut queue = Queue::default();
    for (id, priority) in entries {
        queue.push(entry(id, *priority, 0), 0);
    }
    queue
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

fn position(queue: &Queue, priority: i32, id: &str) -> Option<usize> {
    queue.position(Priority::new(priority).unwrap(), id)
}

#[test]
fn priorities_are_from_minus_100_to_100() {
    for number in [-100, -1, 0, 100] {
        assert_eq!(Priority::new(number).map(Priority::get), Some(number));
    }
    for number in [-101, 101, -128, 127, i32::MAX] {
        assert_eq!(Priority::new(number), None);
    }
    assert_eq!(Priority::new(100).unwrap().inverted(), 0);
    assert_eq!(Priority::new(-100).unwrap().inverted(), 200);
}

#[test]
fn the_higher_priority_goes_first_then_the_earlier_id() {
    let mut queue = queue(&[("1", 0), ("2", -5), ("3", 7), ("4", 0), ("5", 7)]);
    assert_eq!(ids(&queue.take(4, 0)), ["3", "5", "1", "4"]);
    assert_eq!(ids(&queue.take(4, 0)), ["2"]);
    assert!(queue.is_empty());
}

#[test]
fn one_that_was_recorded_late_takes_the_turn_of_its_id() {
    let mut queue = queue(&[("2", 0), ("4", 0), ("1", 0), ("3", 0)]);
    assert_eq!(ids(&queue.take(9, 0)), ["1", "2", "3", "4"]);
}

#[test]
fn an_entry_is_there_once() {
    let mut queue = queue(&[("1", 0), ("1", 0)]);
    assert_eq!((queue.len(), queue.take(9, 0).len()), (1, 1));
}

#[test]
fn positions_count_all_that_go_before() {
    let mut queue = queue(&[("1", 0), ("2", 9), ("3", 0), ("4", -9)]);
    assert_eq!(
        [("2", 9), ("1", 0), ("3", 0), ("4", -9)].map(|(id, p)| position(&queue, p, id)),
        [1, 2, 3, 4].map(Some)
    );
    queue.take(1, 0);
    assert_eq!(position(&queue, -9, "4"), Some(3));
    assert_eq!((position(&queue, 9, "2"), position(&queue, 0, "nothing")), (None, None));
}

#[test]
fn one_that_may_not_begin_yet_holds_up_nobody() {
    let mut queue = Queue::default();
    queue.push(entry("1", 50, 100), 0);
    queue.push(entry("2", 0, 0), 0);
    assert_eq!((queue.due_count(), position(&queue, 0, "2"), position(&queue, 50, "1")), (1, Some(1), Some(2)));
    assert_eq!(ids(&queue.take(9, 99)), ["2"]);
    assert_eq!(ids(&queue.take(9, 100)), ["1"]);
}

#[test]
fn when_its_time_has_come_it_takes_its_turn() {
    let mut queue = queue(&[("2", 0), ("3", 1)]);
    queue.push(entry("1", 0, 100), 0);
    queue.ripen(100);
    assert_eq!(ids(&queue.take(9, 100)), ["3", "1", "2"]);
}

#[test]
fn removed_entries_leave_no_gap() {
    let mut queue = queue(&[("1", 0), ("2", 0), ("3", 0)]);
    queue.push(entry("4", 0, 100), 0);
    for (id, was) in [("2", true), ("2", false), ("4", true), ("nothing", false)] {
        assert_eq!(queue.remove(Priority::default(), id), was, "{id}");
    }
    assert_eq!((queue.len(), position(&queue, 0, "3")), (2, Some(2)));
}

#[test]
fn draining_takes_those_too_that_may_not_begin_yet() {
    let mut queue = queue(&[("1", 0)]);
    queue.push(entry("2", 9, i64::MAX), 0);
    assert_eq!(ids(&queue.drain()), ["2", "1"]);
}

proptest! {
    /// Whatever comes and goes, turns are those of a sorted list, and positions are where they stand in it.
    #[test]
    fn it_is_a_sorted_list(steps in prop::collection::vec((0u16..300, -3i32..=3, 0u8..4), 1..200)) {
        let mut queue = Queue::default();
        let mut list: Vec<(i32, String)> = Vec::new();
        for (number, priority, step) in steps {
            let id = format!("{number:03}");
            let key = (-priority, id.clone());
            match step {
                0 => {
                    let taken: Vec<String> = queue.take(2, 0).into_iter().map(|entry| entry.id).collect();
                    let expected: Vec<String> = list.drain(..list.len().min(2)).map(|(_, id)| id).collect();
                    prop_assert_eq!(taken, expected);
                }
                1 => {
                    let was = list.iter().position(|k| *k == key).map(|at| list.remove(at)).is_some();
                    prop_assert_eq!(queue.remove(Priority::new(priority).unwrap(), &id), was);
                }
                _ => {
                    queue.push(entry(&id, priority, 0), 0);
                    list.push(key);
                    list.sort();
                    list.dedup();
                }
            }
            prop_assert_eq!(queue.len(), list.len());
            for (at, (inverted, id)) in list.iter().enumerate() {
                prop_assert_eq!(position(&queue, -inverted, id), Some(at + 1));
            }
        }
    }
}
