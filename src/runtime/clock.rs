//! Clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall clock, milliseconds since the epoch. May step; for people and records only.
#[allow(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Wall clock, as times of files are given. May step.
#[allow(clippy::disallowed_methods, reason = "a reader of the wall clock beside `unix_ms`")]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Monotonic clock, for measuring and for deadlines.
#[allow(clippy::disallowed_methods, reason = "the one reader of the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Time since `start`.
pub fn since(start: Instant) -> Duration {
    instant().saturating_duration_since(start)
}

/// Time since the machine started, the time it slept included (CLOCK_BOOTTIME, to a hundredth of a second). Costs
/// opening a file: for what is asked every few seconds. `None` when `/proc` is not there.
pub fn boottime() -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Names this run of the machine: what is counted since its start means nothing in another. `None` when `/proc` is not
/// there.
pub fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn boottime_does_not_run_backwards() {
        let first = super::boottime().unwrap();
        assert!(super::boottime().unwrap() >= first);
    }
}
