//! A story on a terminal: a line for each moment, with what every node is then.

use super::{Ms, State, Story, summary};

/// Columns at most.
const WIDTH: usize = 118;
/// With more nodes than this, a letter stands for what each is.
const MOST_IN_WORDS: usize = 4;

/// The whole story: lines, and what came of it.
pub fn told(story: &Story) -> String {
    let words = story.lanes.len() <= MOST_IN_WORDS;
    let cell = if words { 9 } else { 2 };
    let mut out: String = wrapped(&story.title, WIDTH).into_iter().map(|line| line + "\n").collect();
    out.push('\n');
    let nodes: String = story.lanes.iter().map(|lane| format!("{:<cell$}", lane.node)).collect();
    let head = format!("{:>10}   {nodes}writes  ", "time");
    let indent = head.chars().count();
    out += &format!("{head}what happens\n");
    let mut before = String::new();
    for at in moments(story) {
        let states: String = story.lanes.iter().map(|lane| shown(state(&lane.spans, at), words, cell)).collect();
        let writes = format!("{:<8}", writer(story, at));
        for moment in story.moments.iter().filter(|moment| moment.at_ms == at) {
            // What has not changed is not repeated beside the same moment.
            let left = format!("{:>6}.{:03}   {states}{writes}", sign(at), at.unsigned_abs() % 1000);
            let left = if left == before { " ".repeat(indent) } else { left };
            for (no, line) in wrapped(&moment.what, WIDTH.saturating_sub(indent).max(40)).into_iter().enumerate() {
                let margin = if no == 0 { left.clone() } else { " ".repeat(indent) };
                out += &format!("{}\n", format!("{margin}{line}").trim_end());
            }
            if left.trim() != "" {
                before = left;
            }
        }
    }
    out + "\n" + &legend(story, words) + &summary::told(story)
}

/// Seconds with their sign: those before the beginning of the faults are negative.
fn sign(at: Ms) -> String {
    format!("{}{}", if at < 0 { "-" } else { "" }, at.unsigned_abs() / 1000)
}

fn moments(story: &Story) -> Vec<Ms> {
    let mut all: Vec<Ms> = story.moments.iter().map(|moment| moment.at_ms).collect();
    all.dedup();
    all
}

fn state(spans: &[super::Span], at: Ms) -> State {
    let here = spans.iter().find(|span| span.from_ms <= at && at < span.to_ms);
    here.or(spans.last()).map_or(State::Off, |span| span.state)
}

fn shown(state: State, words: bool, cell: usize) -> String {
    let (word, letter, _) = state.told();
    if words { format!("{word:<cell$}") } else { format!("{letter:<cell$}") }
}

/// Whether the cluster could write at a moment.
fn writer(story: &Story, at: Ms) -> &'static str {
    if story.first_write_ms.is_none_or(|first| at < first) {
        ""
    } else if story.is_silent(at) {
        "NOBODY"
    } else {
        "yes"
    }
}

/// What the words or letters of the nodes mean, if they were there.
fn legend(story: &Story, words: bool) -> String {
    let shown = |state: State| story.lanes.iter().any(|lane| lane.spans.iter().any(|span| span.state == state));
    let all = State::ALL.into_iter().filter(|state| shown(*state));
    let line = |state: State| {
        let (word, letter, meaning) = state.told();
        if words { format!("{word}: {meaning}") } else { format!("{letter}: {meaning}") }
    };
    let lines = wrapped(&all.map(line).collect::<Vec<_>>().join(";  "), WIDTH);
    lines.into_iter().map(|line| line + "\n").collect::<String>() + "\n"
}

/// Lines of at most so many characters, broken at blanks.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the beginning");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.into());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn long_lines_are_broken_at_blanks() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
