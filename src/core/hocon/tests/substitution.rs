//! The specification's sections on substitutions, self-reference and `+=`, with cases of our own.

use serde_json::json;

use super::super::ErrorKind;
use super::{read, refusal, refused, value};

fn unresolved(text: &str) -> String {
    let (kind, message) = refusal(text);
    assert_eq!(kind, ErrorKind::Unresolved, "{text}");
    message
}

#[test]
fn a_substitution_keeps_the_type_of_its_target() {
    let text =
        "n = 1, t = true, x = null, s = str, l = [1], o { p = 1 }, a = [${n}, ${t}, ${x}, ${s}, ${l}, ${o}, ${o.p}]";
    assert_eq!(value(text), json!([1, true, null, "str", [1], {"p": 1}, 1]));
}

#[test]
fn targets_may_come_later_and_the_last_definition_counts() {
    assert_eq!(read("a = ${b}, b = 1, b = 2"), json!({"a": 2, "b": 2}));
    assert_eq!(read("a = ${b.c}, b { c = 1 }, b.c = 2"), json!({"a": 2, "b": {"c": 2}}));
    assert_eq!(value("a = ${o}, o { x = 1 }, o { y = 2 }"), json!({"x": 1, "y": 2}));
}

#[test]
fn paths_begin_at_the_root() {
    assert_eq!(read("x = 1, o { x = 2, y = ${x}, z = ${o.x} }"), json!({"x": 1, "o": {"x": 2, "y": 1, "z": 2}}));
    assert_eq!(value("\"b.c\" = 1, b.c = 2, a = [${\"b.c\"}, ${b.c}, ${ b.c }, ${?b.c}]"), json!([1, 2, 2, 2]));
    assert_eq!(value("x y { true.1 = z }, a = ${x y.true.1}"), "z");
}

#[test]
fn concatenation_shows_what_was_written() {
    assert_eq!(value("n = 1e3, a = ${n} is ${n}"), "1e3 is 1e3");
    assert_eq!(value("x = null, t = true, a = ${x}-${t}"), "null-true");
    assert_eq!(value("animal = cat, a = ${animal} is my \"favorite\""), "cat is my favorite");
    assert_eq!(value("x = 1, a = ${x}"), 1, "alone it is no concatenation");
    assert_eq!(value("x = 1, y = 2, a = ${x}${y}"), "12");
    assert_eq!(value("x = 1, y = 2, a = [${x} ${y}]"), json!(["1 2"]));
    assert_eq!(value("a = \"${x}\""), "${x}", "quotes guard it");
}

#[test]
fn arrays_and_objects_join_through_substitutions() {
    assert_eq!(value("l = [1, 2], a = ${l} [3]"), json!([1, 2, 3]));
    assert_eq!(value("l = [1], m = [2], a = ${l} ${m}\t${l}"), json!([1, 2, 1]));
    assert_eq!(value("d { x = 1, y = 2 }, a = ${d} { y = 3 }"), json!({"x": 1, "y": 3}));
    assert_eq!(value("d { x { p = 1 } }, e { x { q = 2 } }, a = ${d} ${e}"), json!({"x": {"p": 1, "q": 2}}));
    assert_eq!(value("o { \"0\" = x, \"1\" = y }, a = ${o} [z]"), json!(["x", "y", "z"]));
    for text in
        ["l = [1], a = ${l} x", "l = [1], a = x ${l}", "l = [1], o = {}, a = ${l} ${o}", "o {}, s = x, a = ${s} ${o}"]
    {
        assert_eq!(refused(text).kind, ErrorKind::WrongType, "{text}");
    }
}

#[test]
fn what_is_missing_is_an_error_or_nothing() {
    assert_eq!(unresolved("a = 1\nb = ${no.such}"), "String: 2: Could not resolve substitution to a value: ${no.such}");
    assert_eq!(unresolved("a = 1, b = ${a.x}"), "String: 1: Could not resolve substitution to a value: ${a.x}");
    assert_eq!(read("a = ${?x}, b = [1, ${?x}, 2], c = ${?x}${?y}"), json!({"b": [1, 2]}));
    assert_eq!(
        read("a = ${?x}b, b = b ${?x} c, c = ${?x} [1], d = ${?x} { e = 1 }"),
        json!({"a": "b", "b": "b  c", "c": [1], "d": {"e": 1}})
    );
    assert_eq!(read("a = 1, a = ${?x}"), json!({"a": 1}), "what does not exist overrides nothing");
    assert_eq!(read("o { x = 1 }, o = ${?no}, o { y = 2 }"), json!({"o": {"x": 1, "y": 2}}));
}

#[test]
fn neither_environment_nor_files_are_looked_at() {
    assert!(std::env::var_os("PATH").is_some());
    assert_eq!(unresolved("a = ${PATH}"), "String: 1: Could not resolve substitution to a value: ${PATH}");
    assert_eq!(read("a = ${?PATH}, b = ${?user.home}, c = ${?HOME}"), json!({}));
}

#[test]
fn what_is_hidden_is_never_evaluated() {
    assert_eq!(read("a = ${no}, a = 42"), json!({"a": 42}));
    assert_eq!(read("a = ${a}, a = [42]"), json!({"a": [42]}));
    assert_eq!(read("a = ${no}, a = ${b}, b = 1"), json!({"a": 1, "b": 1}));
    assert_eq!(read("a = [${no}], a { x = 1 }"), json!({"a": {"x": 1}}));
    assert_eq!(read("a = ${no} x, a = 5, a { x = 1 }"), json!({"a": {"x": 1}}));
    unresolved("a = ${no}, a { x = 1 }");
}

#[test]
fn a_field_may_build_on_its_older_value() {
    assert_eq!(value("a = \"a:b:c\", a = ${a}\":d\""), "a:b:c:d");
    assert_eq!(value("a = [x], a = ${a} [y], a = [w] ${a}"), json!(["w", "x", "y"]));
    assert_eq!(value("a { x = 1 }, a = ${a} { y = 2 }"), json!({"x": 1, "y": 2}));
    assert_eq!(value("a { x = 1 }, a = ${a}"), json!({"x": 1}));
    assert_eq!(value("a = 1, a = ${a}${a}, a = ${a}${a}"), "1111");
    assert_eq!(read("o { l = [1] }, o { l = ${o.l} [2] }, o.l = ${o.l} [3]"), json!({"o": {"l": [1, 2, 3]}}));
    assert_eq!(value("n = 5, a = x, a = ${a}${n}, a = ${a}y"), "x5y");
}

#[test]
fn without_an_older_value_self_reference_finds_nothing() {
    assert!(unresolved("a = ${a}").contains("cycle"));
    unresolved("a = ${a}, a { x = 1 }");
    unresolved("a = ${a} [1]");
    assert_eq!(read("a = ${?a}"), json!({}));
    assert_eq!(read("a = ${?a}foo"), json!({"a": "foo"}), "not foofoo");
    assert_eq!(read("a = ${?a} [1]"), json!({"a": [1]}));
}

#[test]
fn a_self_reference_looks_below_even_along_a_path() {
    assert_eq!(read("foo { a { c = 1 } }, foo = ${foo.a}, foo { a = 2 }"), json!({"foo": {"a": 2, "c": 1}}));
    assert_eq!(
        read("x { l = [1] }, a = ${x}, a.l = ${a.l} [2]")["a"],
        json!({"l": [1, 2]}),
        "through a layer that is a substitution"
    );
}

#[test]
fn objects_may_refer_to_their_own_fields_and_see_the_final_ones() {
    assert_eq!(read("bar { foo = 42, baz = ${bar.foo} }"), json!({"bar": {"foo": 42, "baz": 42}}));
    assert_eq!(read("bar { foo = 42, baz = ${bar.foo} }, bar { foo = 43 }"), json!({"bar": {"foo": 43, "baz": 43}}));
    let both = "bar { a = ${foo.d}, b = 1 }, bar.b = 3, foo { c = ${bar.b}, d = 2 }, foo.d = 4";
    assert_eq!(read(both), json!({"bar": {"a": 4, "b": 3}, "foo": {"c": 3, "d": 4}}));
}

#[test]
fn objects_and_arrays_do_not_look_back() {
    for text in
        ["a { b = ${a} }", "a = [${a}]", "a = [1], a = [${a}]", "a { b { c = ${a} } }", "a { b = ${c} }, c = ${a}"]
    {
        assert!(unresolved(text).contains("cycle"), "{text}");
    }
    assert_eq!(read("a { b = ${?a}, c = 1 }"), json!({"a": {"c": 1}}));
}

#[test]
fn cycles_are_found_and_named() {
    for text in [
        "a = ${b}, b = ${a}",
        "a = ${b}, b = ${c}, c = ${a}",
        "a = x${b}, b = y${a}",
        "a.b = ${c.d}, c.d = ${a.b}",
        "a = ${b.x}, b = ${a.x}",
    ] {
        assert!(unresolved(text).contains("was part of a cycle of substitutions involving"), "{text}");
    }
    assert_eq!(read("a = ${?b}, b = ${?a}"), json!({}), "an optional cycle is nothing");
    assert_eq!(read("c = x${?e}y, e = ${?c}"), json!({"c": "xy", "e": "xy"}));
}

#[test]
fn a_cycle_of_two_fields_is_broken_by_looking_back() {
    assert_eq!(read("a = 1, b = 2, a = ${b}, b = ${a}"), json!({"a": 1, "b": 1}), "both the same");
    assert_eq!(read("a = 1, b = ${a}, a = ${b}"), json!({"a": 1, "b": 1}));
}

#[test]
fn merging_waits_for_substitutions() {
    assert_eq!(
        value("d { x = 1, z { p = 1 } }, a = ${d}, a { y = 2, z { q = 2 } }"),
        json!({"x": 1, "z": {"p": 1, "q": 2}, "y": 2})
    );
    assert_eq!(value("a { x = 0, y = 1 }, a = ${d}, d { x = 1 }"), json!({"x": 1, "y": 1}));
    assert_eq!(
        read("a { x = 0 }, a = ${d}, d = 5, b = ${?a.x}"),
        json!({"a": 5, "d": 5}),
        "a scalar hides the fields below"
    );
    assert_eq!(read("a { x = 0 }, a = ${d}, a { y = 1 }, d = 5")["a"], json!({"y": 1}));
    assert_eq!(
        read("d { x { k = 1 } }, a = ${d}, a.x.l = 2, b = ${a.x}")["b"],
        json!({"k": 1, "l": 2}),
        "looked up along the path"
    );
}

#[test]
fn plus_equals_appends() {
    assert_eq!(read("a += 1"), json!({"a": [1]}));
    assert_eq!(read("a = [1], a += 2, a += [3], a += { b = 4 }"), json!({"a": [1, 2, [3], {"b": 4}]}));
    assert_eq!(read("a += 1, a = ${a} [2], a += ${x}, x = 3"), json!({"a": [1, 2, 3], "x": 3}));
    assert_eq!(read("o { l += 1 }, o { l += 2 }, o.l += 3"), json!({"o": {"l": [1, 2, 3]}}));
    assert_eq!(read("d { l = [1] }, a = ${d}, a.l += 2")["a"], json!({"l": [1, 2]}));
    assert_eq!(read("a = [1], a += ${?b}"), json!({"a": [1]}), "nothing is appended");
}

#[test]
fn plus_equals_wants_an_array() {
    for text in ["a = 1, a += 2", "a { b = 1 }, a += 2", "a = x, a += y"] {
        assert_eq!(refused(text).kind, ErrorKind::WrongType, "{text}");
    }
    assert_eq!(read("a = 1, a += 2, a = 3"), json!({"a": 3}), "unless hidden");
}

#[test]
fn plus_equals_works_inside_lists() {
    assert_eq!(value("a = [{ l += 1, l += 2 }, { l = [0], l += ${x} }], x = 9"), json!([{"l": [1, 2]}, {"l": [0, 9]}]));
    assert_eq!(value("a += { l += ${x}, l += 2 }, x = 1"), json!([{"l": [1, 2]}]));
}

#[test]
fn malformed_substitutions_are_refused() {
    for text in [
        "a = $x",
        "a = $",
        "a = ${",
        "a = ${}",
        "a = ${?}",
        "a = ${x",
        "a = ${x\n}",
        "a = ${a${b}}",
        "a = ${a..b}",
        "a = ${a.}",
        "a = ${[}",
        "a = ${ ?x}",
        "a = ${x:1}",
    ] {
        assert_eq!(refused(text).kind, ErrorKind::Syntax, "{text}");
    }
}
