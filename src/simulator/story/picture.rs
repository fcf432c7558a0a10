//! A story as a picture: a lane for each node, time from left to right.

use std::fmt::Write;

use super::{Kind, Lane, Ms, Silence, State, Story, seconds};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 20.0;
/// Where the first lane begins, how high lanes are, and from one to the next.
const TOP: f64 = 96.0;
const BAR: f64 = 22.0;
const PITCH: f64 = 46.0;
/// Labels that are nearer than this to the one before are left out; their marks tell them when pointed at.
const ROOM: f64 = 7.0;

const STYLE: &str = "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1c2733}.t{font-weight:600;font-size:15px}\
.s{font-size:11px;fill:#445261}.g{font-size:12px;font-weight:600;fill:#b42318}.fault{stroke:#7a2e0e;stroke-width:1.2;stroke-dasharray:4 3}\
.tick{stroke:#d5dde6}.owner{fill:#2f6fde}.fenced{fill:#8f9bb3}.member{fill:#8fc7a2}.unready{fill:#ecd37a}.leaving{fill:#c9a3e0}.seeking{fill:#d3dae2}\
.frozen{fill:#a9cfee}.stranded{fill:#e3a08f}.off{fill:none;stroke:#9aa7b4;stroke-dasharray:2 4}.gap{fill:#d92d20}.miss{fill:#f08c28}\
.claim{fill:#fff;stroke:#1c2733;stroke-width:1.5}.won{fill:#1c2733}.lost{fill:none;stroke:#d92d20;stroke-width:2}";

/// The picture, as SVG with a ground of its own, so that it reads the same on dark pages.
pub fn drawn(story: &Story) -> String {
    let canvas = Canvas { story, height: TOP + PITCH * story.lanes.len() as f64 + 62.0 };
    let mut out = String::new();
    canvas.draw(&mut out).expect("a string takes all that is written");
    out
}

struct Canvas<'a> {
    story: &'a Story,
    height: f64,
}

type Drawn = std::fmt::Result;

impl Canvas<'_> {
    fn draw(&self, out: &mut String) -> Drawn {
        let (height, title) = (self.height, escaped(&self.story.title));
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"t\">"
        )?;
        writeln!(out, "<title id=\"t\">{title}</title>\n<style>{STYLE}</style>")?;
        writeln!(out, "<rect width=\"{WIDTH}\" height=\"{height}\" rx=\"12\" fill=\"#f8fafc\"/>")?;
        writeln!(out, "<text class=\"t\" x=\"20\" y=\"28\">{title}</text>")?;
        self.axis(out)?;
        self.faults(out)?;
        for (no, lane) in self.story.lanes.iter().enumerate() {
            self.lane(out, no, lane)?;
        }
        self.silences(out)?;
        self.legend(out)?;
        writeln!(out, "</svg>")
    }

    fn x(&self, at: Ms) -> f64 {
        let (from, to) = (self.story.begins_ms, self.story.ends_ms);
        let share = (at.clamp(from, to) - from) as f64 / (to - from).max(1) as f64;
        rounded(LEFT + share * (WIDTH - LEFT - RIGHT))
    }

    fn bottom(&self) -> f64 {
        TOP + PITCH * self.story.lanes.len() as f64
    }

    fn axis(&self, out: &mut String) -> Drawn {
        let span = self.story.ends_ms - self.story.begins_ms;
        let step = [500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000].into_iter().find(|step| span / step <= 16);
        let step = step.unwrap_or(3_600_000);
        let mut at = self.story.begins_ms.div_euclid(step) * step;
        while at <= self.story.ends_ms {
            if at >= self.story.begins_ms {
                let (x, bottom) = (self.x(at), self.bottom());
                writeln!(out, "<path class=\"tick\" d=\"M{x} {}V{bottom}\"/>", TOP - 30.0)?;
                let label =
                    if step < 1000 { format!("{:.1} s", at as f64 / 1000.0) } else { format!("{} s", at / 1000) };
                writeln!(
                    out,
                    "<text class=\"s\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                    bottom + 14.0
                )?;
            }
            at += step;
        }
        Ok(())
    }

    fn faults(&self, out: &mut String) -> Drawn {
        // Two rows of labels: of many faults, some are only told when pointed at.
        let mut free = [0.0; 2];
        let faults: Vec<_> = self.story.moments.iter().filter(|moment| moment.kind == Kind::Fault).collect();
        for together in faults.chunk_by(|a, b| a.at_ms == b.at_ms) {
            let x = self.x(together[0].at_ms);
            let told: Vec<&str> = together.iter().map(|moment| moment.what.trim_start_matches("*** ")).collect();
            let told = told.join(", ");
            let title = format!("<title>{}</title>", escaped(&told));
            writeln!(out, "<path class=\"fault\" d=\"M{x} 36V{}\">{title}</path>", self.bottom())?;
            if let Some(row) = free.iter().position(|free| x > *free) {
                let shown: String = told.chars().take(60).collect();
                free[row] = x + ROOM * shown.chars().count() as f64;
                let y = [56.0, 43.0][row];
                writeln!(out, "<text class=\"s\" x=\"{}\" y=\"{y}\">{}</text>", x + 4.0, escaped(&shown))?;
            }
        }
        Ok(())
    }

    fn lane(&self, out: &mut String, no: usize, lane: &Lane) -> Drawn {
        let y = TOP + PITCH * no as f64;
        let middle = y + BAR / 2.0;
        writeln!(out, "<text class=\"t\" x=\"20\" y=\"{}\">{}</text>", middle + 5.0, escaped(&lane.node))?;
        for span in &lane.spans {
            let (from, to) = (self.x(span.from_ms), self.x(span.to_ms));
            let class = class(span.state);
            match span.state {
                State::Off => writeln!(out, "<path class=\"{class}\" d=\"M{from} {middle}H{to}\"/>")?,
                _ => writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{BAR}\" rx=\"3\"/>",
                    rounded(to - from)
                )?,
            }
        }
        for (from, to) in lane.unreachable.iter().filter(|(_, to)| *to > self.story.begins_ms) {
            let (from, to) = (self.x(*from), self.x(*to));
            let (y, width) = (y + BAR + 1.0, rounded(to - from));
            writeln!(out, "<rect class=\"miss\" x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"3\"/>")?;
        }
        self.marks(out, lane, y)
    }

    /// Claims, and what the store made of them, and labels above the lane where there is room.
    fn marks(&self, out: &mut String, lane: &Lane, y: f64) -> Drawn {
        let (mut free, middle) = (0.0, y + BAR / 2.0);
        for moment in self.story.moments.iter().filter(|moment| moment.node.as_ref() == Some(&lane.node)) {
            let x = self.x(moment.at_ms);
            let title = format!("<title>{} s: {}</title>", moment.at_ms as f64 / 1000.0, escaped(&moment.what));
            let label = match moment.kind {
                Kind::Accusation if moment.what.contains("does not hear") => Some("accuses"),
                Kind::Claim if moment.what.contains("CLAIMS") => Some("claims"),
                Kind::Refusal => Some("refused"),
                Kind::Stop => Some("stops"),
                Kind::Start => Some("starts"),
                Kind::Writes => Some("writes"),
                _ => None,
            };
            match moment.kind {
                Kind::Claim => {
                    let d = format!("M{x} {}l6 6-6 6-6-6z", middle - 6.0);
                    writeln!(out, "<path class=\"claim\" d=\"{d}\">{title}</path>")?;
                }
                Kind::Change => {
                    writeln!(out, "<circle class=\"won\" cx=\"{x}\" cy=\"{middle}\" r=\"2.5\">{title}</circle>")?
                }
                Kind::Refusal => {
                    let d = format!("M{} {}l8 8m0-8-8 8", x - 4.0, middle - 4.0);
                    writeln!(out, "<path class=\"lost\" d=\"{d}\">{title}</path>")?;
                }
                _ => {}
            }
            if let Some(label) = label.filter(|_| x >= free) {
                free = x + ROOM * label.len() as f64;
                writeln!(out, "<text class=\"s\" x=\"{}\" y=\"{}\">{label}{title}</text>", x + 2.0, y - 4.0)?;
            }
        }
        Ok(())
    }

    fn silences(&self, out: &mut String) -> Drawn {
        for Silence { from_ms, to_ms, .. } in &self.story.silences {
            let (from, to) = (self.x(*from_ms), self.x(*to_ms));
            let width = rounded(to - from);
            writeln!(out, "<rect class=\"gap\" x=\"{from}\" y=\"64\" width=\"{width}\" height=\"5\"/>")?;
            if width > 20.0 {
                let told = format!("nobody writes: {}", seconds(to_ms - from_ms));
                let anchor = if from > WIDTH - 220.0 { ("end", to) } else { ("start", from + 6.0) };
                writeln!(
                    out,
                    "<text class=\"g\" x=\"{}\" y=\"81\" text-anchor=\"{}\">{told}</text>",
                    anchor.1, anchor.0
                )?;
            }
        }
        Ok(())
    }

    fn legend(&self, out: &mut String) -> Drawn {
        let (mut x, y) = (20.0, self.height - 18.0);
        let mut entry = |out: &mut String, mark: &dyn Fn(f64) -> String, label: &str| {
            let drawn = mark(x);
            let at = x + 20.0;
            x += 42.0 + 5.6 * label.chars().count() as f64;
            writeln!(out, "{drawn}<text class=\"s\" x=\"{at}\" y=\"{y}\">{label}</text>")
        };
        let is_there = |state: State| self.story.lanes.iter().any(|l| l.spans.iter().any(|span| span.state == state));
        for state in State::ALL.into_iter().filter(|state| is_there(*state)) {
            let (class, label) = (class(state), label(state));
            let mark = |x: f64| match state {
                State::Off => format!("<path class=\"{class}\" d=\"M{x} {}h14\"/>", y - 4.0),
                _ => {
                    format!("<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"10\" rx=\"2\"/>", y - 9.0)
                }
            };
            entry(out, &mark, label)?;
        }
        if self.story.lanes.iter().any(|lane| !lane.unreachable.is_empty()) {
            let mark = |x: f64| format!("<rect class=\"miss\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"3\"/>", y - 5.0);
            entry(out, &mark, "unreachable for others")?;
        }
        let mark = |x: f64| format!("<path class=\"claim\" d=\"M{} {}l6 6-6 6-6-6z\"/>", x + 7.0, y - 10.0);
        entry(out, &mark, "decides")?;
        let mark = |x: f64| format!("<circle class=\"won\" cx=\"{}\" cy=\"{}\" r=\"2.5\"/>", x + 7.0, y - 4.0);
        entry(out, &mark, "record changed")
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Off => "off",
        State::Owner => "owner",
        other => other.told().0,
    }
}

fn label(state: State) -> &'static str {
    match state {
        State::Off => "not running",
        State::Owner => "owner",
        State::NotReady => "not ready",
        State::Fenced => "fenced: its term is over",
        other => other.told().0,
    }
}

/// To a tenth of a point, so that pictures are small.
fn rounded(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
