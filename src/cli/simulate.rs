//! `doyen simulate`: plays a cluster and its faults as a time line.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::args::SimulateArgs;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::print;
use crate::simulator::notation;
use crate::simulator::plan::Plan;
use crate::simulator::run::run as play;
use crate::simulator::scenario::Scenario;
use crate::simulator::schedule;
use crate::simulator::story::{Story, picture, text};
use crate::simulator::trace::Keep;
use crate::simulator::world::Watching;

/// Simulated time after the faults have begun, at most.
const MOST_MS: u64 = 3_600_000;
/// The longest plan that is read.
const MOST_PLAN_BYTES: u64 = 16 << 20;
/// What is shown of the time before the faults.
const LEAD_MS: i64 = 500;
/// Events that the flight recorder of a node keeps.
const FLIGHT: usize = 200_000;

/// What can be simulated, with examples.
pub fn help() -> String {
    format!(
        "Faults:\n{}\n\nExamples:\n  doyen simulate --nodes 2 --fault 'A|B'\n  doyen simulate --fault 'crash A never'\n  \
         doyen simulate --nodes 5 --fault 'AB|CDE for 10s, crash C at 3s' --for 30s\n  doyen simulate --seed 42\n\n\
         It ends with 0, or with 1 if something happened that must never happen.",
        notation::HELP.lines().map(|line| format!("  {line}\n")).collect::<String>().trim_end()
    )
}

/// A value of `--for`, in milliseconds.
pub fn time(text: &str) -> Result<u64, String> {
    match notation::millis(text)? {
        0 => Err("that is no time at all".into()),
        ms if ms > MOST_MS => Err("an hour at most".into()),
        ms => Ok(ms),
    }
}

pub fn run(json: bool, args: &SimulateArgs) -> Result<(), Failure> {
    let (title, plan, zero_ms) = played(args)?;
    let flight = args.dump.as_ref().map(|_| FLIGHT);
    let report = play(&plan, Watching { keep: Keep::All, sizes: false, flight });
    let mut story = Story::new(&title, &plan, &report, zero_ms);
    if args.fault.is_some() && !args.all {
        story = story.since(-LEAD_MS);
    }
    if let Some(file) = &args.svg {
        save(file, picture::drawn(&story).as_bytes())?;
    }
    if let Some(directory) = &args.dump {
        dump(directory, &story, &plan, &report.flights)?;
    }
    if json {
        print(&serde_json::to_string(&story).expect("a story can be written as JSON"))?;
    } else {
        print(&text::told(&story))?;
    }
    match story.violations.first() {
        None => Ok(()),
        Some(violation) => Err(Failure::new(Exit::Failed, violation.to_string())),
    }
}

/// What it is called, what is played, and the moment that times count from.
fn played(args: &SimulateArgs) -> Result<(String, Plan, u64), Failure> {
    if let Some(fault) = &args.fault {
        let nodes = args.nodes.unwrap_or(3);
        let scenario = Scenario::new(usize::from(nodes)).fault(fault).map_err(|error| {
            let told = notation::HELP.lines().map(|line| format!("\n  {line}")).collect::<String>();
            Failure::new(Exit::Usage, error.to_string()).hint(format!("what can be said:{told}"))
        })?;
        let seed = args.seed.unwrap_or(1);
        let scenario = scenario.lasting(args.lasting_ms.unwrap_or(20_000)).seed(seed);
        let (plan, from_ms) = scenario.into_plan();
        let of = if nodes == 1 { "1 node".into() } else { format!("{nodes} nodes") };
        let seeded = if seed == 1 { String::new() } else { format!(", seed {seed}") };
        return Ok((format!("{of}: {fault}{seeded}"), plan, from_ms));
    }
    if let Some(file) = &args.plan {
        return Ok((format!("plan {}", file.display()), read_plan(file)?, 0));
    }
    let seed = args.seed.unwrap_or(1);
    let plan = schedule::plan(seed);
    Ok((format!("the random faults of seed {seed}, {} nodes", plan.hosts.len()), plan, 0))
}

fn read_plan(file: &Path) -> Result<Plan, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{}: {why}", file.display()));
    if !fs::metadata(file).map_err(|error| bad(&error))?.is_file() {
        return Err(bad(&"it is no file"));
    }
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(|error| bad(&error))?;
    opened.take(MOST_PLAN_BYTES + 1).read_to_string(&mut text).map_err(|error| bad(&error))?;
    if text.len() as u64 > MOST_PLAN_BYTES {
        return Err(bad(&"it is longer than any plan"));
    }
    let plan: Plan = serde_json::from_str(&text).map_err(|error| bad(&format!("it is no plan: {error}")))?;
    plan.validate().map_err(|why| bad(&why))?;
    Ok(plan)
}

fn save(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error| Failure::new(Exit::Usage, format!("cannot write {}: {error}", file.display()));
    fs::write(file, bytes).map_err(cannot)
}

fn dump(
    directory: &Path,
    story: &Story,
    plan: &Plan,
    flights: &[crate::simulator::run::Flight],
) -> Result<(), Failure> {
    let cannot = |error| Failure::new(Exit::Usage, format!("cannot make {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(cannot)?;
    for flight in flights {
        let run = story.run_of(&flight.node).replace('(', "-").replace(')', "");
        save(&directory.join(format!("{run}.flight")), flight.dump.as_bytes())?;
    }
    let plan = serde_json::to_string_pretty(plan).expect("a plan can be written as JSON");
    save(&directory.join("plan.json"), plan.as_bytes())?;
    note(format!("wrote {} flights and the plan to {}", flights.len(), directory.display()));
    Ok(())
}
