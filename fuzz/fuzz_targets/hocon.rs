//! Any text is read or refused, within the limits; what is read can be printed and read again, and is the same.
//!
//! `cargo fuzz run hocon`, from the repository's root; on a stable toolchain with `RUSTC_BOOTSTRAP=1`.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The module alone, so that a run need not build the server.
#[allow(dead_code, unused_imports, reason = "the target uses a part of the module")]
#[path = "../../src/core/hocon/mod.rs"]
mod hocon;

fuzz_target!(|text: &str| {
    let limits = hocon::Limits { max_depth: 40, max_values: 2_000, max_expanded_bytes: 100_000 };
    if let Ok(object) = hocon::parse(text, &limits) {
        let printed = object.to_json_pretty();
        let again = hocon::parse(&printed, &hocon::Limits::default()).expect("JSON is HOCON");
        assert!(again == object, "{printed}");
    }
});
