//! Timelines of jobs with one attempt and with several: every microsecond is in one phase.

use super::*;

fn spans(spans: &[(&str, u64)]) -> Spans {
    spans.iter().map(|(name, us)| ((*name).to_owned(), *us)).collect()
}

fn told(timeline: &Timeline) -> Vec<(String, u64)> {
    timeline.phases().into_iter().map(|phase| (phase.name, phase.us)).collect()
}

fn of_earlier(earlier: &Earlier) -> Vec<(String, u64)> {
    earlier.phases().into_iter().map(|phase| (phase.name, phase.us)).collect()
}

fn expected(phases: &[(&str, u64)]) -> Vec<(String, u64)> {
    phases.iter().map(|(name, us)| ((*name).to_owned(), *us)).collect()
}

#[test]
fn every_microsecond_of_a_whole_timeline_is_in_one_phase() {
    use Moment::{Begun, Ended, Heard, Received, Recorded, Sent};
    let marks = vec![(Received, 0), (Begun, 10), (Recorded, 500), (Sent, 520), (Heard, 2520), (Ended, 2530)];
    let spans = spans(&[("driver", 1500), ("run", 900), ("load", 100), ("fetch", 200), ("settle", 50)]);
    let timeline = Timeline { marks, spans, ..Timeline::default() };
    let phases = told(&timeline);
    let whole = [
        ("prepare", 10),
        ("record", 490),
        ("queue", 20),
        ("transfer", 250),
        ("fetch", 200),
        ("start", 500),
        ("load", 100),
        ("run", 900),
        ("settle", 50),
        ("finish", 10),
    ];
    assert_eq!(phases, expected(&whole));
    assert_eq!(phases.iter().map(|(_, us)| us).sum::<u64>(), 2530);
}

#[test]
fn a_driver_that_measures_nothing_has_one_phase() {
    use Moment::{Heard, Sent};
    let timeline = Timeline { marks: vec![(Sent, 5), (Heard, 105)], ..Timeline::default() };
    assert_eq!(told(&timeline), expected(&[("driver", 100)]));
}

#[test]
fn after_a_restart_only_what_is_known_is_told() {
    use Moment::{Attached, Ended, Heard, TakenUp};
    let marks = vec![(TakenUp, 1000), (Attached, 1500), (Heard, 9000), (Ended, 9010)];
    let timeline = Timeline { marks, spans: spans(&[("driver", 8000), ("run", 7900)]), ..Timeline::default() };
    assert_eq!(told(&timeline), expected(&[("start", 100), ("run", 7900), ("finish", 10)]));
}

#[test]
fn moments_are_single_but_for_attaching_and_sending_and_never_too_many() {
    let mut timeline = Timeline::default();
    for round in 0..100 {
        timeline.mark(Moment::Received, round);
        timeline.mark(Moment::Attached, round);
    }
    timeline.mark(Moment::Heard, 200);
    timeline.mark(Moment::Ended, 201);
    assert_eq!(timeline.marks.iter().filter(|(moment, _)| *moment == Moment::Received).count(), 1);
    assert_eq!(timeline.marks.len(), MAX_MARKS + 2);
    assert_eq!(timeline.marks.last(), Some(&(Moment::Ended, 201)));
}

/// Lost without a word at 1000, by its driver's word at 2000; the third try goes well.
fn tried_three_times() -> Timeline {
    use Moment::{Accepted, Attached, Begun, Ended, Heard, Received, Recorded, Sent};
    let mut timeline = Timeline::default();
    for (moment, us) in [(Received, 0), (Begun, 10), (Recorded, 40), (Sent, 50), (Accepted, 60), (Attached, 70)] {
        timeline.mark(moment, us);
    }
    timeline.lose(1000);
    timeline.mark(Sent, 1100);
    timeline.mark(Heard, 1900);
    timeline.spans = spans(&[("driver", 700), ("run", 600), ("settle", 50)]);
    timeline.lose(2000);
    for (moment, us) in [(Sent, 2500), (Accepted, 2510), (Heard, 3000), (Ended, 3003)] {
        timeline.mark(moment, us);
    }
    timeline
}

#[test]
fn the_time_of_earlier_attempts_is_in_a_phase_of_their_own_and_the_sum_is_the_whole() {
    let phases = told(&tried_three_times());
    let whole = [
        ("prepare", 10),
        ("record", 30),
        ("queue", 10),
        ("earlier-attempts", 1950),
        ("retry", 500),
        ("driver", 500),
        ("finish", 3),
    ];
    assert_eq!(phases, expected(&whole));
    assert_eq!(phases.iter().map(|(_, us)| us).sum::<u64>(), 3003);
}

#[test]
fn the_phases_of_earlier_attempts_sum_to_the_time_that_they_took() {
    let [first, second] = &tried_three_times().earlier[..] else { panic!("two") };
    assert_eq!(of_earlier(first), expected(&[("driver", 950)]));
    let second = of_earlier(second);
    let parts = [("retry", 100), ("transfer", 50), ("start", 100), ("run", 600), ("settle", 50), ("loss", 100)];
    assert_eq!(second, expected(&parts));
    assert_eq!(second.iter().map(|(_, us)| us).sum::<u64>() + 950, 1950);
}

#[test]
fn a_job_that_ends_while_it_waits_for_its_retry_waited_until_then() {
    use Moment::{Ended, Recorded, Sent};
    let mut timeline = Timeline { marks: vec![(Recorded, 0), (Sent, 5)], ..Timeline::default() };
    timeline.lose(100);
    assert_eq!(told(&timeline), expected(&[("queue", 5), ("earlier-attempts", 95)]));
    timeline.mark(Ended, 900);
    assert_eq!(told(&timeline), expected(&[("queue", 5), ("earlier-attempts", 95), ("retry", 800)]));
}

#[test]
fn an_attempt_that_a_former_server_sent_counts_from_when_it_was_taken_up() {
    use Moment::{Ended, Heard, Sent, TakenUp};
    let mut timeline = Timeline { marks: vec![(TakenUp, 1000)], ..Timeline::default() };
    timeline.lose(1500);
    for (moment, us) in [(Sent, 1600), (Heard, 1700), (Ended, 1710)] {
        timeline.mark(moment, us);
    }
    let phases = [("earlier-attempts", 500), ("retry", 100), ("driver", 100), ("finish", 10)];
    assert_eq!(told(&timeline), expected(&phases));
    assert_eq!(of_earlier(&timeline.earlier[0]), expected(&[("driver", 500)]));
}

#[test]
fn a_job_that_was_taken_up_while_it_waited_for_its_retry_waited_from_then_on() {
    use Moment::{Sent, TakenUp};
    let mut timeline = Timeline { marks: vec![(TakenUp, 1000)], ..Timeline::default() };
    timeline.mark(Sent, 1600);
    timeline.lose(2000);
    assert_eq!(of_earlier(&timeline.earlier[0]), expected(&[("retry", 600), ("driver", 400)]));
    assert_eq!(told(&timeline), expected(&[("earlier-attempts", 1000)]));
}

#[test]
fn an_attempt_that_was_lost_before_its_driver_could_measure_is_no_start() {
    let times = Earlier { sent_us: Some(0), heard_us: Some(900), lost_us: 1000, ..Earlier::default() };
    let lost = Earlier { spans: spans(&[("fetch", 100), ("driver", 700), ("settle", 50)]), ..times };
    let parts = [("transfer", 50), ("fetch", 100), ("driver", 700), ("settle", 50), ("loss", 100)];
    assert_eq!(of_earlier(&lost), expected(&parts));
}

#[test]
fn a_job_of_a_thousand_attempts_has_true_phases_and_bounded_marks() {
    use Moment::{Attached, Ended, Heard, Received, Recorded, Sent};
    let mut timeline = Timeline { marks: vec![(Received, 0), (Recorded, 5)], ..Timeline::default() };
    for attempt in 1..=1000 {
        timeline.mark(Sent, attempt * 100);
        (0..50).for_each(|_| timeline.mark(Attached, attempt * 100 + 1));
        timeline.lose(attempt * 100 + 50);
    }
    timeline.mark(Sent, 200_000);
    timeline.mark(Heard, 200_100);
    timeline.mark(Ended, 200_101);
    assert!(timeline.marks.len() <= MAX_MARKS + 2 && timeline.earlier.len() == MAX_EARLIER);
    let phases = [("queue", 95), ("earlier-attempts", 99_950), ("retry", 99_950), ("driver", 100), ("finish", 1)];
    assert_eq!(told(&timeline), expected(&phases));
}

#[test]
fn spans_of_strangers_are_bounded() {
    let many: Spans = (0..1000).map(|n| (format!("{n:04}"), n)).collect();
    assert_eq!(bounded(many).len(), MAX_SPANS);
    assert!(bounded(spans(&[(&"n".repeat(33), 1)])).is_empty());
}
