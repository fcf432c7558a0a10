//! Crash points: places before and after each durable write, where a test has the server end as if it were killed.
//!
//! They are there only in builds with the feature `crash-points`, which our own tests ask for. In such a build,
//! `DOYEN_CRASH=job-submit:after:2` kills the process with SIGKILL the second time that it passes this point.

/// The durable writes of the domain, by the names that `Records::commit` gets.
pub const COMMITS: &[&str] = &[
    "binary-put",
    "binary-delete",
    "context-create",
    "context-update",
    "context-attach",
    "job-submit",
    "job-end",
    "job-log",
    // Supervised contexts, and jobs that run again.
    "context-restart",
    "context-relaunch",
    "job-retry",
    "job-reassign",
    // The queue.
    "job-enqueue",
    "jobs-assign",
    // The outbox.
    "callback-delivered",
    "callback-retry",
    "callback-given-up",
    "callback-replay",
    // Idempotency keys that are no part of another commit.
    "idempotency-claim",
    "idempotency-expire",
    "token-create",
    "token-revoke",
    // Retention.
    "jobs-remove",
    "jobs-trim",
    "context-remove",
    "binary-remove",
    // Old jobs in segments.
    "history-pack",
    "history-clear",
    "history-cleared",
    "history-trim",
    "job-unpack",
    // Which metadata store it is.
    "store-id",
];

/// Durable writes of the first start on a data directory.
pub const FIRST_START: &[&str] =
    &["directory-create", "directory-format", "directory-format-rename", "store-create", "directory-store"];

/// All other durable writes.
pub const WRITES: &[&str] = &[
    "directory-parts",
    // A batch of commits: on the disk, and answered.
    "store-batch",
    // Content of binaries, results and logs: of one part, and of several.
    "blob-put",
    "blob-part",
    "blob-complete",
    "blob-rename",
    "blob-delete",
    // Data files.
    "data-create",
    "data-write",
    "data-rename",
    "data-delete",
    // Starting a driver.
    "driver-directory",
    "driver-spec",
    "driver-start",
];

/// Whose the binaries are, where they are not in the data directory.
pub const SHARED: &[&str] = &["binaries-owner"];

/// Commits of `doyen store`, which no server makes.
pub const TOOLS: &[&str] =
    &["store-import-begin", "store-import", "store-import-pack", "store-import-end", "store-repair"];

pub fn is_known(name: &str) -> bool {
    [COMMITS, FIRST_START, WRITES, SHARED, TOOLS].iter().any(|names| names.contains(&name))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// Does nothing.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str, _side: Side) {}

#[cfg(feature = "crash-points")]
pub use armed::point;

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::{Side, is_known};

    const VARIABLE: &str = "DOYEN_CRASH";

    struct Wish {
        name: String,
        side: Side,
        left: AtomicU64,
    }

    static WISH: LazyLock<Option<Wish>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        Some(parse(&text).unwrap_or_else(|| panic!("{VARIABLE}={text} is no crash point: <name>:before|after:<n>")))
    });

    fn parse(text: &str) -> Option<Wish> {
        let mut parts = text.split(':');
        let name = parts.next().filter(|name| is_known(name))?.to_owned();
        let side = match parts.next()? {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        let left = parts.next()?.parse().ok().filter(|count| *count > 0)?;
        parts.next().is_none().then_some(Wish { name, side, left: AtomicU64::new(left) })
    }

    /// Ends the process, if a test wants that here and now.
    pub fn point(name: &'static str, side: Side) {
        debug_assert!(is_known(name), "{name} is missing in runtime::crash");
        let Some(wish) = WISH.as_ref() else { return };
        if wish.name == name && wish.side == side && wish.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
            // No thread of this process goes on; this one waits for the signal.
            loop {
                std::thread::park();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::parse;

        #[test]
        fn a_point_is_named_with_its_side_and_a_number() {
            let wish = parse("job-submit:after:2").unwrap();
            assert_eq!((wish.name.as_str(), wish.left.into_inner()), ("job-submit", 2));
            for bad in ["", "job-submit", "job-submit:after", "job-submit:after:0", "job-submit:during:1", "x:after:1"]
            {
                assert!(parse(bad).is_none(), "{bad}");
            }
        }
    }
}
