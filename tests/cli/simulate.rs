//! `simulate` and `replay`: neither asks a server.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Ended, command, end, run};

const A_CUT_BC: [&str; 5] = ["simulate", "--nodes", "3", "--fault", "A|BC"];

fn inside(directory: &TempDir, arguments: &[&str]) -> Ended {
    end(command(directory, arguments))
}

#[track_caller]
fn refused(arguments: &[&str], why: &str) {
    let ended = run(arguments);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(ended.stderr.contains(why), "{ended:?}");
}

/// Plays A|BC, with a flight recorder at each node.
fn dumped() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let ended = inside(&directory, &[&A_CUT_BC[..], &["--dump", "dump"]].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "wrote 4 flights and the plan to dump\n"));
    directory
}

#[test]
fn a_scenario_is_told_as_a_time_line_and_always_the_same() {
    let ended = run(&[&A_CUT_BC[..], &["--for", "8s"]].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/simulate.txt");
    if std::env::var_os("DOYEN_WRITE_PICTURES").is_some() {
        fs::write(&kept, &ended.stdout).unwrap();
    }
    assert_eq!(ended.stdout, fs::read_to_string(kept).unwrap(), "see scripts/pictures");
}

#[test]
fn a_scenario_as_json() {
    let ended = run(&[&A_CUT_BC[..], &["--seed", "7", "--json"]].concat());
    assert_eq!(ended.code, 0);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["record"]["owner"], "B");
    assert_eq!(told["violations"], serde_json::json!([]));
    assert_eq!(told["lanes"][2]["at_the_end"], "member");
}

#[test]
fn a_seed_plays_its_random_faults() {
    let ended = run(&["simulate", "--seed", "42"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("the random faults of seed 42, "), "{ended:?}");
    assert!(ended.stdout.contains("*** all faults end"), "{ended:?}");
    assert!(ended.stdout.contains("Invariants 1, 2, 5, 6, 8"), "{ended:?}");
}

#[test]
fn help_lists_the_faults() {
    let ended = run(&["simulate", "--help"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("A|BC  A|B|C          sides that do not hear each other"), "{ended:?}");
}

#[test]
fn what_cannot_be_played_is_refused_with_what_can() {
    refused(&["simulate"], "<--fault <FAULTS>|--seed <N>|--plan <FILE>>");
    refused(
        &["simulate", "--fault", "A|D"],
        "error: fault \"A|D\": there is no D among 3 nodes\nhint: what can be said:\n  A|BC",
    );
    refused(&["simulate", "--fault", "explode A"], "no such fault");
    refused(&["simulate", "--fault", "flap A-B every 0ms"], "a link flaps 1 to 1000 times, each 1 ms or longer");
    refused(&["simulate", "--fault", "flap A-B 4000000000 times"], "a link flaps 1 to 1000 times");
    refused(&["simulate", "--fault", "replay A 4000000000"], "100000 messages at most");
    refused(&["simulate", "--fault", "A|BC", "--nodes", "0"], "0 is not in 1..=26");
    refused(&["simulate", "--fault", "A|BC", "--for", "2 hours"], "is no time");
    refused(&["simulate", "--fault", "A|BC", "--for", "61m"], "an hour at most");
    refused(&["simulate", "--seed", "1", "--nodes", "3"], "--fault <FAULTS>");
    refused(&["simulate", "--seed", "-1"], "--seed");
    refused(&["simulate", "--fault", "A|BC", "--svg", "no/where.svg"], "cannot write no/where.svg");
    refused(&["simulate", "--fault", "A|BC", "--dump", "/dev/null/x"], "cannot make /dev/null/x");
}

#[test]
fn bad_plans() {
    let directory = dumped();
    let plan = fs::read_to_string(directory.path().join("dump/plan.json")).unwrap();
    let bad = [
        ("{}".to_owned(), "it is no plan: missing field"),
        (plan[..100].to_owned(), "it is no plan: EOF"),
        (plan.replace("\"heartbeat\": 250", "\"heartbeat\": 0"), "heartbeat"),
        (plan.replace("\"end_ms\": ", "\"end_ms\": 99999999"), "more than a day"),
        (plan.replace("\"mutation\": null", "\"mutation\": \"NoStability\""), "only tests can"),
    ];
    for (text, why) in bad {
        assert_ne!(text, plan);
        fs::write(directory.path().join("bad.json"), text).unwrap();
        let ended = inside(&directory, &["simulate", "--plan", "bad.json"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.starts_with("error: bad.json: ") && ended.stderr.contains(why), "{ended:?}");
    }
    refused(&["simulate", "--plan", "none.json"], "none.json: No such file");
    refused(&["simulate", "--plan", "/dev/zero"], "/dev/zero: it is no file");
}

#[test]
fn a_picture_is_what_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["simulate", "--nodes", "2", "--fault", "A|B for 6s", "--for", "10s", "--svg", "p.svg"];
    assert_eq!(inside(&directory, &arguments).code, 0);
    let drawn = fs::read_to_string(directory.path().join("p.svg")).unwrap();
    assert!(drawn == include_str!("../../images/split-brain-two-nodes.svg"), "another picture: see scripts/pictures");
}

#[test]
fn each_flight_is_replayed_as_it_was_and_the_plan_is_played_again() {
    let directory = dumped();
    for run in ["A", "A-2", "B", "C"] {
        let ended = inside(&directory, &["replay", &format!("dump/{run}.flight")]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.ends_with("decisions: all as recorded\n"), "{ended:?}");
    }
    let claims = inside(&directory, &["replay", "dump/B.flight"]).stdout;
    assert!(claims.contains("claims: without A#"), "{claims}");
    let again = inside(&directory, &["simulate", "--plan", "dump/plan.json"]);
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains("B CLAIMS the cluster without A, owner B"), "{again:?}");
}

#[test]
fn what_is_no_dump_is_refused() {
    let directory = dumped();
    let dump = fs::read_to_string(directory.path().join("dump/B.flight")).unwrap();
    let replayed = |text: &str| {
        fs::write(directory.path().join("bad.flight"), text).unwrap();
        inside(&directory, &["replay", "bad.flight"])
    };
    for (text, why) in [
        ("", "it ends before the state of the node"),
        ("hello\n", "line 1: expected value, column 1"),
        (&dump.replace("{\"flight\":1", "{\"flight\":2"), "it has format 2, this version reads 1"),
        (&dump[..dump.len() - 9], "hint: its end is cut: play back what `head -n "),
        (&dump.replacen("\"progress\":0", "\"progress\":18446744073709551615", 1), "no node can be in the state"),
    ] {
        assert_ne!(text, dump);
        let ended = replayed(text);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.starts_with("error: bad.flight: ") && ended.stderr.contains(why), "{ended:?}");
    }
    let ended = inside(&directory, &["replay", "dump"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("it is a directory\nhint: name one of the dumps in it"), "{ended:?}");
    refused(&["replay", "/dev/zero"], "it is no file");
    refused(&["replay", "nothing"], "No such file");
}

#[test]
fn a_dump_of_other_rules_differs() {
    let directory = dumped();
    let path = directory.path().join("dump/B.flight");
    let dump = fs::read_to_string(&path).unwrap();
    fs::write(&path, dump.replacen("\"stable_after\":1000", "\"stable_after\":1100", 1)).unwrap();
    let ended = inside(&directory, &["replay", "dump/B.flight"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("this version does something else than what was recorded"), "{ended:?}");
}
