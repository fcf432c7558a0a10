//! Properties: JSON is a subset, and no text makes the parser panic or run on.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::{Limits, parse};

fn limits() -> Limits {
    Limits { max_depth: 50, max_values: 500, max_expanded_bytes: 20_000 }
}

fn arb_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            prop::collection::hash_map(any::<String>(), inner, 0..12).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// What our types make of JSON's numbers.
fn typed(json: Json) -> Json {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    match json {
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            #[allow(clippy::cast_possible_truncation, reason = "integral and in range")]
            (None, Some(float)) if float.fract() == 0.0 && (-BEYOND..BEYOND).contains(&float) => (float as i64).into(),
            (None, float) => float.into(),
        },
        Json::Array(items) => items.into_iter().map(typed).collect(),
        Json::Object(map) => map.into_iter().map(|(key, value)| (key, typed(value))).collect(),
        other => other,
    }
}

/// Pieces out of which texts are made that are nearly HOCON.
fn arb_nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "a", "b", "c", "a.b", "a.b.c", "b.a", "\"a\"", "\"", "\"\"\"", "1", "2.5", "1e3", "-", "true", "null",
            "x y", "include", "é", "\u{feff}", "\\", "\\u0041", "@", "//", "#",
        ]),
        prop::sample::select(vec![
            " = ", " : ", " += ", "=", ",", "\n", " ", ".", "{", "}", "[", "]", "{ ", " }\n", " [", "] ", "${", "${?",
            "}", "\n", "${a}", "${b}", "${?c}", "${?a.b}", "${a.b.c}", "\na = ", "\nb = ", "\nc = ", "\na.b = ",
            "\na += ",
        ]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Well-formed texts full of references to each other.
fn arb_tangle() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec!["a", "b", "c", "a.b", "b.c", "c.a", "a.b.c"]);
    let optional = prop::sample::select(vec!["${", "${?"]);
    let reference = (optional, path.clone()).prop_map(|(open, path)| format!("{open}{path}}}"));
    let leaf = prop_oneof![Just("1".to_owned()), Just("x".to_owned()), reference.clone(), reference];
    let value = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            inner.clone().prop_map(|value| format!("{{ b = {value}, c += {value} }}")),
        ]
    });
    let separator = prop::sample::select(vec![" = ", " = ", " += "]);
    let field = (path, separator, value).prop_map(|(path, separator, value)| format!("{path}{separator}{value}"));
    prop::collection::vec(field, 0..12).prop_map(|fields| fields.join("\n"))
}

/// Whatever is accepted can be printed and read again, and is the same.
fn check(text: &str) {
    if let Ok(object) = parse(text, &limits()) {
        let printed = object.to_json_pretty();
        assert_eq!(parse(&printed, &Limits::default()).unwrap(), object, "{text}\n{printed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn json_is_read_as_json(fields in prop::collection::hash_map(any::<String>(), arb_json(), 0..12)) {
        let json: Json = fields.into_iter().collect();
        let expected = typed(json.clone());
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            prop_assert_eq!(&parse(&text, &Limits::default()).unwrap().to_json(), &expected);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check(&text);
        check(&format!("a = {text}"));
    }

    #[test]
    fn nearly_hocon_is_read_or_refused(text in arb_nearly()) {
        check(&text);
    }

    #[test]
    fn tangles_of_references_end(text in arb_tangle()) {
        check(&text);
    }

    #[test]
    fn any_path_is_set_and_found_again(path in "[a-c. \"]{0,8}") {
        let mut object = super::ok("a { b = 1 }, c = 2");
        if object.set_path(&path, super::Value::Bool(true)).is_ok() {
            prop_assert_eq!(object.get_path(&path), Some(&super::Value::Bool(true)));
        }
    }
}
