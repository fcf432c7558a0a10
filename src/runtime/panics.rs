//! Panics of a library that are expected: who catches one has it say nothing.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What the work returns; `None` when it panics, about which nothing is printed. Only for what is known to panic, and is not used afterwards.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_none_and_only_meanwhile_quiet() {
        assert_eq!(quietly(|| 7), Some(7));
        let quiet = quietly(|| QUIET.get());
        assert_eq!((quiet, QUIET.get()), (Some(true), false));
        assert_eq!(quietly(|| -> u8 { panic!("expected") }), None);
        assert!(!QUIET.get());
    }
}
