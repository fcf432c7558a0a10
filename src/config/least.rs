//! Times and numbers that are possible, and yet too small or too large to be meant: what they would do is told.

use std::time::Duration;

use super::duration::text;
use super::schema::{Config, Contexts};
use super::validate::Rules;

/// The most restarts in a row that a context may ask for.
pub const MAX_RESTARTS: u32 = 1000;
/// Of a context's `idle-timeout` and `max-lifetime`, which may be 0 for never.
pub const LEAST_LIFE: Duration = Duration::from_secs(1);
/// Drivers hear of their server every 5 s, and some seconds pass before they look.
const LEAST_ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn rules(config: &Config, rules: &mut Rules) {
    let Contexts { creation_timeout, orphan_timeout, healthy_after, max_restarts, .. } = &config.contexts;
    for (key, value, least, why) in [
        (
            "contexts.orphan-timeout",
            *orphan_timeout,
            LEAST_ORPHAN_TIMEOUT,
            "a driver hears of its server every 5 s: with less, healthy ones would end themselves, and at each restart all",
        ),
        ("contexts.creation-timeout", *creation_timeout, SECOND, "no driver starts faster"),
        ("contexts.healthy-after", *healthy_after, SECOND, "`contexts.max-restarts` would never be reached"),
        ("tls.reload-interval", config.tls.reload_interval, SECOND, "the files would be looked at all the time"),
    ] {
        let message = format!("`{key}` is {}; it has to be at least {}", text(value), text(least));
        rules.hold(value >= least, &[key], message, Some(why));
    }
    let Contexts { idle_timeout, max_lifetime, .. } = &config.contexts;
    for (key, value) in [("contexts.idle-timeout", *idle_timeout), ("contexts.max-lifetime", *max_lifetime)] {
        let least = text(LEAST_LIFE);
        let message = format!("`{key}` is {}; it has to be at least {least}, or 0s for never", text(value));
        let why = "a context would end before it is of use";
        rules.hold(value.is_zero() || value >= LEAST_LIFE, &[key], message, Some(why));
    }
    let message = format!("`contexts.max-restarts` is over {MAX_RESTARTS}");
    rules.hold(*max_restarts <= MAX_RESTARTS, &["contexts.max-restarts"], message, None);
}
