//! Hostile texts: each is refused with a limit's error, cheaply, on the stack of an ordinary thread.

use std::fmt::Write;

use super::super::{ErrorKind, Limits, parse};
use super::{ok, read, refused};

/// Repeats with a number.
fn lines(range: std::ops::Range<usize>, line: impl Fn(usize) -> String) -> String {
    range.fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

fn limited(text: &str) -> String {
    let error = refused(text);
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    error.message
}

#[test]
fn nesting_by_braces_brackets_and_dots_has_one_limit() {
    for levels in [201, 5_000, 200_000] {
        limited(&"a {".repeat(levels * 5));
        limited(&format!("a = {}", "[".repeat(levels * 5)));
        limited(&format!("a = {}", "[{b=".repeat(levels)));
        limited(&format!("{}a = 1", "a.".repeat(levels)));
        limited(&format!("a = ${{{}a}}", "a.".repeat(levels)));
    }
    limited(&"a.b.c {".repeat(70));
    limited(&format!("a = {}1", "{a += ".repeat(101)));
}

#[test]
fn two_hundred_levels_fit_an_ordinary_stack() {
    let texts = [
        format!("{}x = 1{}", "a {".repeat(200), "}".repeat(200)),
        format!("a = {}{}", "[".repeat(200), "]".repeat(200)),
        format!("{}a = 1", "a.".repeat(199)),
        format!("{}a = ${{x}}, x = 1, y = ${{{}a}}", "a.".repeat(199), "a.".repeat(199)),
    ];
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let run = thread.spawn(move || texts.iter().for_each(|text| drop(ok(text).to_json_pretty()))).unwrap();
    run.join().unwrap();
}

#[test]
fn a_depth_limit_beyond_the_stack_is_lowered() {
    let limits = Limits { max_depth: usize::MAX, ..Limits::default() };
    for text in ["a {".repeat(100_000), format!("a = {}", "[".repeat(100_000))] {
        assert_eq!(parse(&text, &limits).unwrap_err().kind, ErrorKind::Limit);
    }
    let chain = lines(0..60_000, |n| format!("a{n} = ${{a{}}}", n + 1));
    assert_eq!(parse(&chain, &Limits { max_values: usize::MAX, ..limits }).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn fifty_thousand_values_pass_and_one_more_does_not() {
    let keys = |count| lines(0..count, |n| format!("key{n} = {n}"));
    assert_eq!(ok(&keys(50_000)).len(), 50_000);
    for text in [keys(50_001), keys(100_000), format!("a = [{}]", "1\n".repeat(50_000)), "a{}\n".repeat(50_001)] {
        assert_eq!(limited(&text), "More than 50000 values");
    }
    assert_eq!(limited(&lines(0..25_001, |n| format!("k{n}.x = 1"))), "More than 50000 values");
}

#[test]
fn doublings_are_refused_before_they_grow() {
    let doublings = [
        format!("a0 = [1]\n{}", lines(0..32, |n| format!("a{} = [${{a{n}}}, ${{a{n}}}]", n + 1))),
        format!("a0 = [1]\n{}", lines(0..32, |n| format!("a{} = ${{a{n}}} ${{a{n}}}", n + 1))),
        format!("a0 = xyz\n{}", lines(0..32, |n| format!("a{} = ${{a{n}}}${{a{n}}}", n + 1))),
        format!("a0 = 1\n{}", lines(0..32, |n| format!("a{} {{ l = ${{a{n}}}, r = ${{a{n}}} }}", n + 1))),
        format!("a = xyz\n{}", "a = ${a}${a}\n".repeat(32)),
        format!("a = [xyz]\n{}", "a = [0] ${a} ${a}\n".repeat(32)),
    ];
    for text in doublings {
        limited(&text);
        if !text.starts_with("a =") {
            limited(&text.lines().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

#[test]
fn what_is_substituted_many_times_counts_each_time() {
    let big = format!("big = \"{}\"\n", "x".repeat(100_000));
    limited(&format!("{big}{}", lines(0..50, |n| format!("k{n} = ${{big}}"))));
    limited(&format!("big = [{}]\n{}", "1,".repeat(1_000), lines(0..60, |n| format!("k{n} = ${{big}}"))));
    assert_eq!(ok(&format!("{big}{}", lines(0..30, |n| format!("k{n} = ${{big}}")))).len(), 31);
}

#[test]
fn substitutions_cannot_nest_deeper_than_the_text_may() {
    let text = format!("a0 = []\n{}", lines(0..300, |n| format!("a{} = [${{a{n}}}]", n + 1)));
    assert!(limited(&text).contains("deep"));
}

#[test]
fn long_chains_end_with_an_error_on_an_ordinary_stack() {
    let forward = lines(0..10_000, |n| format!("a{n} = ${{a{}}}", n + 1)) + "a10000 = 1";
    let back = format!("y = 1, a = x\n{}", "a = ${a}${y}\n".repeat(10_000));
    let nested = lines(0..5_000, |n| format!("a{n} = [{{ b = ${{a{}}} }}]", n + 1));
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    thread.spawn(move || [forward, back, nested].iter().for_each(|text| drop(limited(text)))).unwrap().join().unwrap();
    assert_eq!(ok(&("a0 = 1\n".to_owned() + &lines(0..10_000, |n| format!("a{} = ${{a{n}}}", n + 1)))).len(), 10_001);
}

#[test]
fn thousands_of_appends_are_cheap() {
    let appended = |text: &str| read(text)["a"].as_array().map_or(0, Vec::len);
    assert_eq!(appended(&"a += 1\n".repeat(10_000)), 10_000);
    assert_eq!(appended(&format!("a = []\n{}", "a = ${a} [x]\n".repeat(10_000))), 10_000);
    assert_eq!(read(&format!("a = x\n{}", "a = ${a}y\n".repeat(10_000)))["a"].as_str().map(str::len), Some(10_001));
    assert_eq!(appended(&format!("x = [0]\na = ${{x}} [1]\n{}", "a += 2\n".repeat(10_000))), 10_002);
}

#[test]
fn knots_of_cycles_run_out_of_steps() {
    let limits = Limits { max_values: 2_000, ..Limits::default() };
    let all = |count: usize| (0..count).map(|n| format!("${{?a{n}}}")).collect::<String>();
    for text in [
        lines(0..14, |n| format!("a{n} = {}", all(14))),
        lines(0..40, |n| format!("a{} = {}", n % 4, all(4))),
        format!(
            "z = ${{a40.x}}, a0 {{ x {{ y = 1 }} }}\n{}",
            lines(0..40, |n| format!("a{0} = ${{a{n}}}\na{0} = ${{a{n}}}", n + 1))
        ),
    ] {
        match parse(&text, &limits) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind, ErrorKind::Limit, "{error}"),
        }
    }
}

#[test]
fn repeated_and_deep_merges_stay_linear() {
    let object = lines(0..10_000, |n| format!("k{n} = {n}"));
    assert_eq!(read(&format!("o {{ {object} }}\n{}", "o { k1 = x }\n".repeat(10_000)))["o"]["k1"], "x");
    let deep = format!("{}x = 1{}\n", "a {".repeat(190), "}".repeat(190));
    assert_eq!(ok(&deep.repeat(250)).len(), 1);
}

#[test]
fn megabytes_of_nothing_or_noise_are_read_once() {
    assert!(ok(&"# comment\n".repeat(100_000)).is_empty());
    assert!(ok(&"\n".repeat(1_000_000)).is_empty());
    for noise in
        ["\"", "\\", "$", "{", "}", "[", ",", "=", "+", "/", "a", "1", "a=", "a:1", "${", "é", "\"\"\"", "true", "a b"]
    {
        let _ = parse(&noise.repeat(30_000), &Limits::default());
        let _ = parse(&format!("a = {}", noise.repeat(30_000)), &Limits::default());
    }
}
