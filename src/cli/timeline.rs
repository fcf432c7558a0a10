//! `doyen job timeline`.

use super::Session;
use super::answer::{parse, text};
use super::client::segment;
use super::failure::{Failure, note};
use super::output::{print, table};
use crate::api::timeline::{Attempt, Phase, Timeline};

pub async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    let answer = session.client.get(format!("/v1/jobs/{}/timeline", segment(id)?), Vec::new()).await?;
    if session.json {
        return print(&text(&answer));
    }
    let timeline: Timeline = parse(&answer)?;
    for attempt in &timeline.attempts {
        note(attempt_line(attempt));
        if !attempt.phases.is_empty() {
            let phase = |phase: &Phase| format!("{} {} ms", phase.name, milliseconds(phase.us));
            note(format!("  {}", attempt.phases.iter().map(phase).collect::<Vec<_>>().join(", ")));
        }
    }
    let rows: Vec<Vec<String>> = timeline
        .phases
        .iter()
        .map(|phase| vec![phase.name.clone(), milliseconds(phase.us), phase.by.clone()])
        .collect();
    print(&table(&["PHASE", "MS", "MEASURED BY"], &rows))
}

fn attempt_line(attempt: &Attempt) -> String {
    let node = attempt.node.as_ref().map(|node| format!(", on {node}")).unwrap_or_default();
    let end = attempt.end_time.as_ref().map(|end| format!(" to {end}")).unwrap_or_default();
    let why = attempt.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let log = attempt.log_bytes.map(|bytes| format!(", {bytes} bytes of log")).unwrap_or_default();
    let Attempt { number, attempt: of_context, start_time, .. } = attempt;
    format!("attempt {number} of the job, {of_context} of the context{node}, from {start_time}{end}{log}{why}")
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn microseconds_are_shown_as_milliseconds_with_three_places() {
        assert_eq!((milliseconds(7), milliseconds(1_234_567)), ("0.007".into(), "1234.567".into()));
    }
}
