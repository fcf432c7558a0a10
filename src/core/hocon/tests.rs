//! Scenarios: helpers, what was recorded from Spark Jobserver, and the object's own methods.

mod limits;
mod properties;
mod substitution;
mod syntax;

use serde_json::json;

use super::{Error, ErrorKind, Limits, Object, Value, parse};

fn ok(text: &str) -> Object {
    parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{error}\nin: {text}"))
}

fn read(text: &str) -> serde_json::Value {
    ok(text).to_json()
}

fn refused(text: &str) -> Error {
    match parse(text, &Limits::default()) {
        Err(error) => error,
        Ok(object) => panic!("accepted as {}: {text}", object.to_json()),
    }
}

/// The kind and the message of a refusal, as a client sees it.
fn refusal(text: &str) -> (ErrorKind, String) {
    let error = refused(text);
    (error.kind, error.to_string())
}

/// `text` holds one field `a`; its value.
fn value(text: &str) -> serde_json::Value {
    read(text)["a"].take()
}

#[test]
fn recorded_bodies_reach_the_job_as_they_did() {
    for (body, probe) in [
        ("probe.a.b = 1\nprobe.a.c = two\nprobe.d = true\n", json!({"a": {"b": 1, "c": "two"}, "d": true})),
        ("probe { # one\n  a : 1 // two\n  b { c = [1, 2,\n 3] }\n}\n", json!({"a": 1, "b": {"c": [1, 2, 3]}})),
        ("probe { a = 1, b = 2 }\nprobe { b = 3, c = 4 }\nprobe.d = 5\n", json!({"a": 1, "b": 3, "c": 4, "d": 5})),
        (
            "base = xyz\nprobe { a = ${base}, b = ${base}-more, c = ${?no.such.key}, d = ${?base} }\n",
            json!({"a": "xyz", "b": "xyz-more", "d": "xyz"}),
        ),
        ("probe = [1]\nprobe += 2\nprobe = ${probe} [3]\n", json!([1, 2, 3])),
        ("probe = \"\"\"two\nlines \"quoted\" \"\"\"\n", json!("two\nlines \"quoted\" ")),
        ("probe = \"\\u00fc ü \\n \\t \\\"x\\\" / \\\\\"\n", json!("ü ü \n \t \"x\" / \\")),
        ("probe { \"a.b\" = 1, \"c d\" = 2, e-f = 3 }\n", json!({"a.b": 1, "c d": 2, "e-f": 3})),
        (
            "{\"wanted\": \"probe\", \"probe\": {\"a\": [1, {\"b\": null}], \"c\": \"d\"}}",
            json!({"a": [1, {"b": null}], "c": "d"}),
        ),
        ("wanted=probe,probe=7", json!(7)),
    ] {
        assert_eq!(read(body)["probe"], probe, "{body}");
    }
}

#[test]
fn the_recorded_kinds_of_values() {
    let body = "probe { i = 1, f = 1.5, e = 1e3, neg = -2, t = true, y = yes, n = null, s = \"q s\", u = unquoted words, \
                empty = \"\", d = 10s, m = 512m, long = 12345678901, list = [], obj = {} }";
    let expected = json!({"i": 1, "f": 1.5, "e": 1000, "neg": -2, "t": true, "y": "yes", "n": null, "s": "q s",
        "u": "unquoted words", "empty": "", "d": "10s", "m": "512m", "long": 12_345_678_901_i64, "list": [], "obj": {}});
    assert_eq!(read(body)["probe"], expected);
}

#[test]
fn a_stored_config_is_read_and_printed_with_four_spaces() {
    let object = ok("# note\nb.c = 1\nb { d = ${b.c}, e = \"x\" }\na = [1, 2]\nz = ${?no.such}");
    let printed = r#"{
    "b": {
        "c": 1,
        "d": 1,
        "e": "x"
    },
    "a": [
        1,
        2
    ]
}"#;
    assert_eq!(object.to_json_pretty(), printed);
}

#[test]
fn recorded_refusals_keep_their_words() {
    const HINT: &str = "to be part of a key or string value, try enclosing the key or value in double quotes)";
    let unclosed = "'' (End of input but string quote was still open)";
    let reserved = "'@' (Reserved character '@' is not allowed outside quotes)";
    let ampersand = "'&' (Reserved character '&' is not allowed outside quotes)";
    for (body, kind, message) in [
        ("}{", ErrorKind::Syntax, format!("String: 1: unbalanced close brace '}}' with no open brace (if you intended '}}' {HINT}")),
        ("a { b = 1", ErrorKind::Syntax, "String: 1: Expecting close brace } or a comma, got end of file".to_owned()),
        (
            "a = \"b",
            ErrorKind::Syntax,
            format!("String: 1: Expecting a value but got wrong token: {unclosed} (if you intended {unclosed} {HINT}"),
        ),
        (
            "a = b@c",
            ErrorKind::Syntax,
            format!("String: 1: Expecting end of input or a comma, got {reserved} (if you intended {reserved} {HINT}"),
        ),
        (
            "wanted=probe\nprobe=a&b=2",
            ErrorKind::Syntax,
            format!("String: 2: Expecting end of input or a comma, got {ampersand} (if you intended {ampersand} {HINT}"),
        ),
        ("[1,2]", ErrorKind::WrongType, "String: 1: has type LIST rather than object at file root".to_owned()),
        (
            "a = ${no.such.key}",
            ErrorKind::Unresolved,
            "String: 1: Could not resolve substitution to a value: ${no.such.key}".to_owned(),
        ),
        (
            "a = ${b}\nb = ${a}",
            ErrorKind::Unresolved,
            "String: 2: Could not resolve substitution to a value: ${a} was part of a cycle of substitutions involving ${b}, ${a}"
                .to_owned(),
        ),
    ] {
        assert_eq!(refusal(body), (kind, message), "{body}");
    }
}

#[test]
fn paths_find_fields_and_quotes_guard_dots() {
    let object = ok("a { b.c = 1, \"d.e\" = 2 }");
    assert_eq!(object.get_path("a.b.c"), Some(&Value::Int(1)));
    assert_eq!(object.get_path("a.\"d.e\""), Some(&Value::Int(2)));
    for nothing in ["a.x", "a.b.c.d", "", "a..b", ".a", "a.", "a=b", "{", "\""] {
        assert_eq!(object.get_path(nothing), None, "{nothing}");
    }
}

#[test]
fn query_parameters_are_set_by_path() {
    let mut object = ok("spark.master = local, spark.app { name = x }, flat = 1");
    for (path, text) in [("spark.master", "yarn"), ("spark.app.id", "7"), ("flat.now.deep", "y"), ("new key", "z")] {
        object.set_path(path, Value::String(text.to_owned())).unwrap();
    }
    let expected = json!({"spark": {"master": "yarn", "app": {"name": "x", "id": "7"}},
        "flat": {"now": {"deep": "y"}}, "new key": "z"});
    assert_eq!(object.to_json(), expected);
    assert_eq!(object.set_path("a..b", Value::Null).unwrap_err().kind, ErrorKind::Syntax);
    assert_eq!(object.set_path(&"a.".repeat(100_000), Value::Null).unwrap_err().kind, ErrorKind::Syntax);
    assert_eq!(object.set_path(&vec!["a"; 100_000].join("."), Value::Null).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn an_object_over_another_wins_field_by_field() {
    let mut below = ok("a { x = 1, y = 2 }, b = 1, c { z = 1 }");
    below.merge(ok("a { y = 3 }, b { w = 1 }, c = 2"));
    assert_eq!(below.to_json(), json!({"a": {"x": 1, "y": 3}, "b": {"w": 1}, "c": 2}));
    let filled = ok("a { y = 3 }").with_fallback(ok("a { x = 1, y = 2 }, b = 1"));
    assert_eq!(filled.to_json(), json!({"a": {"x": 1, "y": 3}, "b": 1}));
}

#[test]
fn keys_keep_the_order_of_first_appearance() {
    let keys = |object: &Object| object.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(&ok("z = 1, a = 2, m = 3, z = 4, b = ${z}")), ["z", "a", "m", "b"]);
    assert_eq!(ok("z = 1, a = 2"), ok("a = 2, z = 1"));
    assert_ne!(ok("z = 1, a = 2"), ok("a = 2"));
}

#[test]
fn both_kinds_serialize() {
    let object = ok("a = [1, 2.5, x, null, true, { b = {} }]");
    assert_eq!(serde_json::to_value(&object).unwrap(), object.to_json());
    assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"a":[1,2.5,"x",null,true,{"b":{}}]}"#);
    assert_eq!(object.get("a").and_then(Value::as_array).map(<[Value]>::len), Some(6));
    assert_eq!(object.get_path("a").and_then(Value::as_str), None);
}

#[test]
fn many_keys_are_found_by_name() {
    let object: Object =
        (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().iter().map(|key| (key.as_str(), Value::Null)).collect();
    assert_eq!((object.len(), object.is_empty()), (1000, false));
    assert!((0..1000).all(|n| object.get(&n.to_string()).is_some()));
    assert_eq!(object.get("1000"), None);
}
