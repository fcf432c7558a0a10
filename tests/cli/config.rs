//! `config`, `version`, usage.

use crate::support::{command, end, run};

#[test]
fn config_default_prints_the_reference() {
    let ended = run(&["config", "default"]);
    assert_eq!(ended.code, 0);
    assert_eq!(ended.stdout, include_str!("../../conf/doyen.toml"));
}

#[test]
fn what_config_default_prints_is_a_valid_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("doyen.toml"), run(&["config", "default"]).stdout).unwrap();
    let ended = end(command(&directory, &["config", "check"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "the configuration is valid\n"));
    assert_eq!(ended.stdout, "");
}

#[test]
fn config_check_names_file_line_key_and_nearest_key_of_everything() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("doyen.toml"), "[http]\nlisen = \"x\"\nmax-requests = true\n").unwrap();
    let mut check = command(&directory, &["config", "check", "--set", "jobs.list-limit=-1", "--http", "here"]);
    check.env("DOYEN__NODE__NAM", "x").env("DOYEN_URL", "http://elsewhere");
    let ended = end(check);
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.stderr,
        "error: doyen.toml:2: unknown key `http.lisen`\n\
         hint: did you mean `http.listen`?\n\
         error: doyen.toml:3: `http.max-requests`: invalid type: boolean `true`, expected a whole number from 0 on\n\
         error: DOYEN__NODE__NAM: unknown key `node.nam`\n\
         hint: did you mean `DOYEN__NODE__NAME`?\n\
         error: --set jobs.list-limit=-1: `jobs.list-limit`: invalid value: integer `-1`, expected a whole number from 0 on\n\
         error: --http: `http.listen`: invalid socket address syntax\n\
         hint: write an IP address and a port, like 127.0.0.1:8090 or [::1]:8090\n"
    );
}

#[test]
fn a_named_file_that_is_not_there() {
    let ended = run(&["config", "check", "--config", "no.toml"]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.starts_with("error: no.toml: cannot read the configuration file: No such file"), "{ended:?}");
}

#[test]
fn an_open_address_is_refused_with_what_to_do() {
    let ended = run(&["config", "check", "--http", "0.0.0.0:8090"]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.starts_with("error: --http: `http.listen` is 0.0.0.0:8090"), "{ended:?}");
    assert_eq!(run(&["config", "check", "--http", "0.0.0.0:8090", "--set", "http.insecure=true"]).code, 0);
}

#[test]
fn version_as_text_and_json() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&["version"]).stdout, format!("doyen {version}\n"));
    assert_eq!(run(&["version", "--json"]).stdout, format!("{{\"version\":\"{version}\"}}\n"));
}

#[test]
fn wrong_arguments_end_with_2_and_help_lists_the_codes() {
    assert_eq!(run(&[]).code, 2);
    let ended = run(&["job", "lst"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("similar subcommand exists: 'list'"), "{ended:?}");
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("   3  no server can be reached"), "{help:?}");
    assert!(!help.stdout.contains("shim  "), "{help:?}");
}
