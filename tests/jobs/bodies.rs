//! Bodies that are no HOCON within the limits are refused with 400, for jobs and for contexts.

use crate::server::{CONTEXT, Server};

/// Both refuse it, in these words; no job and no context come of it.
#[track_caller]
fn refused(body: &str, words: &[&str]) {
    let server = Server::shared();
    let name = doyen::runtime::random::id();
    let job = server.run("bad.Echo", body.to_owned());
    let context = server.post(&format!("/contexts/c{name}?context-factory=python"), body.to_owned());
    for answer in [job, context] {
        let said = answer.says(400);
        let begins = said.starts_with("Cannot parse config: ");
        assert!(begins && words.iter().all(|word| said.contains(word)), "{words:?} are not all in: {said}");
    }
    assert_eq!(server.get(&format!("/contexts/c{name}")).status, 404);
    server.still_serves();
}

fn keys(number: usize, separator: &str) -> String {
    let pairs: Vec<String> = (0..number).map(|i| format!("\"key{i}\"{separator}{i}")).collect();
    pairs.join(",")
}

#[test]
fn no_hocon() {
    refused("a = {", &["String: 1"]);
    refused("input = [1, 2\nb }", &["String: "]);
    refused("\u{0}\u{1}", &["String: 1"]);
    refused("[1, 2]", &[]);
}

#[test]
fn no_utf8() {
    let server = Server::shared();
    let said = server.run("bad.Echo", b"a = \"\xff\xfe\"".to_vec()).says(400);
    assert_eq!(said, "Cannot parse config: the body is not UTF-8");
    server.still_serves();
}

#[test]
fn a_hundred_thousand_keys_as_json_and_as_hocon() {
    refused(&format!("{{{}}}", keys(100_000, ": ")), &["50000"]);
    refused(&keys(100_000, " = "), &["50000"]);
}

#[test]
fn forty_thousand_keys_are_taken() {
    let server = Server::shared();
    let result = server.run("bad.Echo", keys(40_000, " = ")).expect(200);
    assert_eq!((result["result"].as_object().unwrap().len(), &result["result"]["key39999"]), (40_000, &39_999.into()));
}

#[test]
fn five_thousand_levels_as_json_and_as_hocon() {
    refused(&format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000)), &["100"]);
    refused(&format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000)), &["100"]);
    refused(&format!("{}b = 1{}", "a {".repeat(5000), "}".repeat(5000)), &["100"]);
    refused(&format!("{}b = 1", "a.".repeat(5000)), &["100"]);
    refused(&"{\"a\":".repeat(5000), &[]);
}

#[test]
fn the_environment_is_not_read() {
    refused("home = ${HOME}", &["HOME"]);
    refused("home = \"at \"${PATH}", &["PATH"]);
    let server = Server::shared();
    let result = server.run("bad.Echo", "home = ${?HOME}, there = 1").expect(200);
    assert_eq!(result["result"], serde_json::json!({"there": 1}));
}

#[test]
fn includes_are_refused() {
    let text = "include statements are not supported";
    for include in
        ["include \"reference\"", "include file(\"/etc/passwd\")", "a { include url(\"http://127.0.0.1/\") }"]
    {
        refused(include, &[text]);
    }
}

#[test]
fn substitutions_that_grow_without_end() {
    let doublings: String = (1..40).map(|i| format!("a{i} = ${{a{}}}${{a{}}}\n", i - 1, i - 1)).collect();
    refused(&format!("a0 = xxxxxxxxxxxxxxxx\n{doublings}"), &[]);
    refused("a = ${b}, b = ${a}", &["a"]);
}

#[test]
fn a_body_beyond_the_limit() {
    let server = Server::shared();
    let body = format!("a = \"{}\"", "x".repeat(5_000_000));
    for path in [format!("/jobs?cp=jobs&mainClass=bad.Echo&context={CONTEXT}"), "/contexts/big".into()] {
        assert_eq!(server.post(&path, body.clone()).says(413), "The request is too large: the limit is 4194304 bytes");
    }
    server.still_serves();
}
