//! What came of a run.

use super::text::wrapped;
use super::{LEAST_GAP_MS, Lane, State, Story, seconds};

const WIDTH: usize = 118;

pub(super) fn told(story: &Story) -> String {
    let all = [gap(story), nodes(story), record(story), invariants(story)];
    all.iter().flat_map(|text| wrapped(text, WIDTH)).map(|line| line + "\n").collect()
}

fn gap(story: &Story) -> String {
    match story.silences.iter().max_by_key(|silence| silence.ms()) {
        _ if story.first_write_ms.is_none() => "There never was an owner that could write.".into(),
        Some(longest) if story.gap_ms > 0 => {
            let open = if longest.open { ", and to the end" } else { "" };
            format!(
                "Nobody could write for {}: from {} to {}{open}.",
                seconds(story.gap_ms),
                after(longest.from_ms),
                after(longest.to_ms)
            )
        }
        _ => format!(
            "There was an owner that could write all the time: never more than {} without a write.",
            seconds(LEAST_GAP_MS)
        ),
    }
}

fn after(ms: super::Ms) -> String {
    format!("{}{}.{:03} s", if ms < 0 { "-" } else { "" }, ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn nodes(story: &Story) -> String {
    let of = |state: State| story.lanes.iter().filter(move |lane| lane.at_the_end == state).map(|lane| &*lane.node);
    let each = State::ALL.into_iter().filter_map(|state| {
        let names: Vec<&str> = of(state).collect();
        let word = match state {
            State::Off => "not running",
            State::Owner => "owner",
            other => other.told().0,
        };
        (!names.is_empty()).then(|| format!("{word} {}", names.join(" ")))
    });
    let at_the_end: Vec<String> = each.collect();
    let stopped = counted(story, |lane| lane.stops);
    let crashed = counted(story, |lane| lane.crashes as usize);
    let past = |what: &str, who: String| if who.is_empty() { who } else { format!(" {what}: {who}.") };
    let past = past("Ended by itself", stopped) + &past("Was killed", crashed);
    format!("At the end: {}.{past}", at_the_end.join("; "))
}

fn counted(story: &Story, of: impl Fn(&Lane) -> usize) -> String {
    let each = story.lanes.iter().filter(|lane| of(lane) > 0).map(|lane| match of(lane) {
        1 => lane.node.clone(),
        times => format!("{} {times} times", lane.node),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn record(story: &Story) -> String {
    let Some(record) = &story.record else { return "There is no record at the end.".into() };
    let members = if record.members.is_empty() { "nobody".into() } else { record.members.join(" ") };
    let owner = record.owner.as_ref().map_or("no owner".into(), |owner| format!("owner {owner}"));
    format!("The record: epoch {}, term {}, members {members}, {owner}.", record.epoch, record.term)
}

fn invariants(story: &Story) -> String {
    let ran = format!("{} events and {} changes of the record", story.events, story.changes);
    match story.violations.first() {
        Some(violation) => format!("VIOLATED after {ran}: {violation}."),
        None => {
            let numbers: Vec<String> = story.checked.iter().map(ToString::to_string).collect();
            format!("Invariants {} held in {ran}.", numbers.join(", "))
        }
    }
}
