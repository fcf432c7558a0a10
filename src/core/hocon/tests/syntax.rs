//! The specification's sections on syntax, with cases of our own.

use serde_json::json;

use super::super::ErrorKind;
use super::{ok, read, refusal, refused, value};

fn all_refused(kind: ErrorKind, texts: &[&str]) {
    for text in texts {
        assert_eq!(refused(text).kind, kind, "{text}");
    }
}

#[test]
fn nothing_is_the_empty_object() {
    for text in ["", " \t ", "\n\n", "# only a comment", "// another\n", "{}", " { } \n", "\u{feff}"] {
        assert_eq!(read(text), json!({}), "{text:?}");
    }
}

#[test]
fn comments_end_with_their_line_and_quotes_guard_them() {
    assert_eq!(read("a = 1 # one\nb = 2 // two\n#c = 3\n//d = 4\ne = 5#"), json!({"a": 1, "b": 2, "e": 5}));
    assert_eq!(read("a = \"# // no\", b = x/y, c = x//y"), json!({"a": "# // no", "b": "x/y", "c": "x"}));
    assert_eq!(
        read("a = [ # first\n 1 # one\n , 2 // two\n ]\nb # key\n = # equals\n 3"),
        json!({"a": [1, 2], "b": 3})
    );
    assert_eq!(read("a = 1//\r\nb = x/ / y"), json!({"a": 1, "b": "x/ / y"}));
}

#[test]
fn root_braces_may_be_left_out_but_must_balance() {
    assert_eq!(read("{ a = 1 }"), read("a = 1"));
    all_refused(ErrorKind::Syntax, &["a = 1 }", "{ a = 1", "{ a = 1 }}", "{} {}", "{}, a = 1", "{ a = 1 } b = 2", "}"]);
    all_refused(ErrorKind::WrongType, &["[]", " [1]", "# x\n[", "[a"]);
    all_refused(ErrorKind::Syntax, &["text", "42", "\"quoted\"", "null", "${a}"]);
}

#[test]
fn separators_are_colon_equals_or_a_brace() {
    assert_eq!(read("a : 1, b = 2, c { d = 3 }, e{}"), json!({"a": 1, "b": 2, "c": {"d": 3}, "e": {}}));
    assert_eq!(read("a\n=\n1\nb\n:\n\n2\nc\n{\nd\n=\n3\n}"), json!({"a": 1, "b": 2, "c": {"d": 3}}));
    all_refused(
        ErrorKind::Syntax,
        &["a", "a b", "a [1]", "a == 1", "a = = 1", "a := 1", "a + = 1", "a =", "a = ,", "= 1", ": 1"],
    );
}

#[test]
fn a_newline_serves_as_a_comma() {
    assert_eq!(read("a = [1\n2\n\n3]\nb = 1\n\n c = 2"), json!({"a": [1, 2, 3], "b": 1, "c": 2}));
    assert_eq!(read("a = [1,\n2\n,3,]\nb = 1,\nc = 2"), json!({"a": [1, 2, 3], "b": 1, "c": 2}));
    assert_eq!(read("{a = [1,2,3,], b = {x = 1,},}"), json!({"a": [1, 2, 3], "b": {"x": 1}}));
}

#[test]
fn commas_alone_separate_nothing() {
    all_refused(ErrorKind::Syntax, &["a = [1,2,3,,]", "a = [,1]", "a = [1,,2]", "a = [1\n,\n,2]", "a = [,]"]);
    all_refused(ErrorKind::Syntax, &["{a = 1,,}", "{,a = 1}", "a = 1,,b = 2", ",", "a = 1,\n,b = 2", "{,}"]);
    all_refused(ErrorKind::Syntax, &["a = [1", "a = [1,", "a = [", "a = [1}", "a = {b = 1]"]);
}

#[test]
fn whitespace_is_what_unicode_separates_with() {
    for space in [
        "\t", "\u{b}", "\u{c}", "\r", "\u{1c}", "\u{1f}", "\u{a0}", "\u{2007}", "\u{202f}", "\u{2028}", "\u{3000}",
        "\u{feff}",
    ] {
        assert_eq!(read(&format!("{space}a{space}={space}1{space}")), json!({"a": 1}), "{space:?}");
    }
    assert_eq!(value("a = x\u{2028}y"), "x\u{2028}y", "a line separator is no newline");
    assert_eq!(read("a = 1\r\nb = x\r\n"), json!({"a": 1, "b": "x"}));
}

#[test]
fn later_keys_override_and_objects_merge() {
    assert_eq!(read("a = 1, a = 2"), json!({"a": 2}));
    assert_eq!(read("f { a = 42 }, f { b = 43 }"), json!({"f": {"a": 42, "b": 43}}));
    assert_eq!(read("f { a { x = 1 } }, f { a { y = 2 } }, f.a.z = 3"), json!({"f": {"a": {"x": 1, "y": 2, "z": 3}}}));
    assert_eq!(read("f { a = 42 }, f = null, f { b = 43 }"), json!({"f": {"b": 43}}));
    assert_eq!(read("f { a = 42 }, f = 7"), json!({"f": 7}));
    assert_eq!(read("f = [1], f = [2]"), json!({"f": [2]}));
    assert_eq!(read(r#"{"a": {"x": 1}, "a": {"x": 2, "y": 3}}"#), json!({"a": {"x": 2, "y": 3}}));
}

#[test]
fn unquoted_text_runs_to_a_forbidden_character() {
    for text in
        ["foo", "bar10.0", "footrue", "a.b-c_d/e", "http", "x'y'", "50%", "~/dir", "a;b|c<d>e(f)", "ünïcödé", "\u{1}"]
    {
        assert_eq!(value(&format!("a = {text}")), text);
    }
    for c in "$\"+`^?!@*&\\".chars() {
        assert_eq!(refused(&format!("a = x{c}")).kind, ErrorKind::Syntax, "{c}");
    }
    assert_eq!(
        read("a = truefoo, b = 10.0bar, c = null1, d = false-"),
        json!({"a": "truefoo", "b": "10.0bar", "c": "null1", "d": "false-"})
    );
}

#[test]
fn numbers_are_integers_where_they_can_be() {
    for (text, number) in [
        ("0", json!(0)),
        ("-0", json!(0)),
        ("007", json!(7)),
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        ("-2.5E-1", json!(-0.25)),
        ("5.", json!(5)),
        ("9223372036854775807", json!(i64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_f64)),
        ("1e18", json!(1_000_000_000_000_000_000_i64)),
        ("1e19", json!(1e19)),
        ("1e300", json!(1e300)),
        ("1e+2", json!(100)),
    ] {
        assert_eq!(value(&format!("a = {text}")), number, "{text}");
    }
}

#[test]
fn what_only_begins_like_a_number_is_text() {
    for text in [
        "1.2.3",
        "-",
        "--1",
        "1-2",
        "1e",
        "10s",
        "512m",
        "0x1f",
        "2026-11-21",
        "1e999",
        "NaN",
        "Infinity",
        "inf",
        ".5",
        "1 2",
    ] {
        assert_eq!(value(&format!("a = {text}")), text);
    }
    all_refused(ErrorKind::Syntax, &["a = 1+2", "a = +1", "a = 1e999+"]);
}

#[test]
fn quoted_strings_are_those_of_json() {
    assert_eq!(value(r#"a = "\"\\\/\b\f\n\r\t\u0041\ud83d\ude00""#), "\"\\/\u{8}\u{c}\n\r\tA😀");
    assert_eq!(value("a = \"\u{7f}\u{85}\u{2028}\""), "\u{7f}\u{85}\u{2028}");
    assert_eq!(read(r#"{"": ""}"#), json!({"": ""}));
    for text in [
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\ud800""#,
        r#""\ud800\u0041""#,
        r#""\udc00""#,
        "\"\n\"",
        "\"\t\"",
        "\"",
        "\"\\",
        "\"\\u",
        "\"\\ud800\\u",
    ] {
        assert_eq!(refused(&format!("a = {text}")).kind, ErrorKind::Syntax, "{text}");
    }
}

#[test]
fn triple_quotes_take_everything_as_it_is() {
    assert_eq!(value("a = \"\"\"x\n \\n \"y\" ${z} # \"\"\""), "x\n \\n \"y\" ${z} # ");
    assert_eq!(value("a = \"\"\"\"\"\""), "");
    assert_eq!(value("a = \"\"\"x\"\"\"\"\""), "x\"\"", "quotes beyond three belong to the string");
    assert_eq!(refusal("a = \"\"\"\n\n\"\"\"\nb = @").1.split(": ").nth(1), Some("4"), "its newlines count");
    all_refused(ErrorKind::Syntax, &["a = \"\"\"x", "a = \"\"\"x\"\""]);
}

#[test]
fn neighbours_on_a_line_become_one_string() {
    for (text, joined) in [
        ("  foo  bar baz  ", "foo  bar baz"),
        ("1 true null x", "1 true null x"),
        ("1e3 1.0", "1e3 1.0"),
        ("\"a\" \"b\"", "a b"),
        ("\"a\"b\"c\"", "abc"),
        ("x\t y", "x\t y"),
        ("\"\"\"a\"\"\" b", "a b"),
    ] {
        assert_eq!(value(&format!("a = {text}")), joined, "{text}");
        assert_eq!(value(&format!("a = [{text}]")), json!([joined]), "{text}");
    }
    assert_eq!(value("a = true"), true, "one value keeps its type");
    assert_eq!(value("a = [ 1 2 3 ]"), json!(["1 2 3"]));
}

#[test]
fn arrays_join_arrays_and_objects_join_objects() {
    assert_eq!(value("a = [1] [2]\t[3,4]"), json!([1, 2, 3, 4]));
    assert_eq!(value("a = { x = 1, y { z = 1 } } { x = 2, y { w = 2 } }"), json!({"x": 2, "y": {"z": 1, "w": 2}}));
    assert_eq!(value("a = [[1] [2], {x=1} {y=2}]"), json!([[1, 2], {"x": 1, "y": 2}]));
    assert_eq!(value("a = [1] { \"1\" = c, \"0\" = b, no = d }"), json!([1, "b", "c"]), "numeric keys make a list");
    all_refused(
        ErrorKind::WrongType,
        &["a = [1] x", "a = x [1]", "a = {} x", "a = x {}", "a = [1] {}", "a = {} [1]", "a = {} \"\""],
    );
    assert_eq!(value("a = [\n[1]\n[2]\n]"), json!([[1], [2]]), "nothing joins across lines");
}

#[test]
fn keys_are_paths() {
    assert_eq!(read("a.b.c = 42"), json!({"a": {"b": {"c": 42}}}));
    assert_eq!(read("a.x = 42, a.y = 43"), json!({"a": {"x": 42, "y": 43}}));
    assert_eq!(read("a b c = 1"), json!({"a b c": 1}));
    assert_eq!(read("a b.c d = 1"), json!({"a b": {"c d": 1}}));
    assert_eq!(read("true = 1, null = 2, 3.14 = 3, -1 = 4"), json!({"true": 1, "null": 2, "3": {"14": 3}, "-1": 4}));
    assert_eq!(read("10.0foo = 1, foo10.0 = 2"), json!({"10": {"0foo": 1}, "foo10": {"0": 2}}));
    assert_eq!(read("foo\"10.0\" = 1, a.\"b.c\".d = 2"), json!({"foo10.0": 1, "a": {"b.c": {"d": 2}}}));
    assert_eq!(read("a.\"\".b = 1"), json!({"a": {"": {"b": 1}}}));
    assert_eq!(read("\"\"\"a.b\"\"\" = 1"), json!({"a.b": 1}));
    all_refused(ErrorKind::Syntax, &["a..b = 1", ".a = 1", "a. = 1", ". = 1", "${a} = 1", "a${b} = 1", "a\nb = 1"]);
}

#[test]
fn includes_are_refused_wherever_one_could_stand() {
    for text in [
        "include \"x\"",
        "a { include file(\"/etc/passwd\") }",
        "a = 1\ninclude url(\"http://x\")",
        "include = 1",
        "include\n\"x\"",
    ] {
        let (kind, message) = refusal(text);
        assert_eq!(kind, ErrorKind::Include, "{text}");
        assert!(message.contains("include statements are not supported"), "{message}");
    }
}

#[test]
fn include_is_a_word_like_others_elsewhere() {
    assert_eq!(read("\"include\" = 1, foo include = 2"), json!({"include": 1, "foo include": 2}));
    assert_eq!(read("include.x = 1, includes = 2"), json!({"include": {"x": 1}, "includes": 2}));
    assert_eq!(read("a = include, b = [include \"x\"]"), json!({"a": "include", "b": ["include x"]}));
}

#[test]
fn errors_name_the_line() {
    for (text, line) in [
        ("a = 1\nb = @", 2),
        ("\n\n}", 3),
        ("a {\n b = 1\n", 3),
        ("a = [\n1\n2 @\n]", 3),
        ("# c\n\nx\n", 4),
        ("a = 1\n\nb = ${c}", 3),
    ] {
        assert_eq!(refused(text).line, line, "{text}");
    }
}

#[test]
fn messages_do_not_echo_the_whole_body() {
    let long = "x".repeat(100_000);
    for text in [
        long.clone(),
        format!("a = ${{{long}}}"),
        format!("a = [1] {long}"),
        format!("a = {{}} \"{long}\" \"{long}\""),
        format!("{{}} {long}"),
        format!("\"{long}\""),
    ] {
        assert!(refused(&text).message.len() < 1000);
    }
}

#[test]
fn json_stays_json() {
    let text = r#" {"a" : [ 1 , -2.5e1, "x" , true,false,null, {"b":[]} ] , "c\u0020d" : {"e":"\n"} } "#;
    assert_eq!(ok(text).to_json(), serde_json::from_str::<serde_json::Value>(&text.replace("-2.5e1", "-25")).unwrap());
}
