//! Times as the reference writes them: `2016-06-19T16:27:12.196Z`, and durations as `1.3 secs`.

use jiff::Timestamp;

/// Text of a time in milliseconds since the epoch, in UTC, always with three digits of a second.
pub fn text(unix_ms: i64) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => "-".into(),
    }
}

/// Like `text`, fit for a file's name.
pub fn file_name_text(unix_ms: i64) -> String {
    text(unix_ms).replace(':', "_")
}

/// `2.946 secs`, `4.0 secs`. A clock that stepped back makes no negative duration.
pub fn seconds(from_ms: i64, to_ms: i64) -> String {
    let ms = to_ms.saturating_sub(from_ms).max(0);
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a job's life are far below 2^52")]
    let seconds = ms as f64 / 1000.0;
    format!("{seconds:?} secs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_utc() {
        assert_eq!(text(1_795_256_199_840), "2026-11-21T10:16:39.840Z");
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn durations_are_written_as_the_reference_writes_them() {
        assert_eq!(seconds(0, 1300), "1.3 secs");
        assert_eq!(seconds(0, 4000), "4.0 secs");
        assert_eq!(seconds(5, 0), "0.0 secs");
    }
}
