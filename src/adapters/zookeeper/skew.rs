//! Whether this node's clock agrees with ZooKeeper's: ids of jobs begin with the time, and jobs are listed by them.

use super::link::{Link, Trouble};
use super::paths::Paths;
use crate::runtime::{clock, random};

const MOST_MS: i64 = 5000;

/// Warns when they do not agree.
pub(super) async fn look(link: Link, paths: Paths) {
    match measure(&link, &paths).await {
        Ok(ahead_ms) if ahead_ms.abs() > MOST_MS => tracing::warn!(
            ahead_ms,
            "this node's clock differs from that of ZooKeeper's leader by more than 5 s: jobs are listed in another order than they \
             were submitted in where another node's clock is right; have both set by NTP"
        ),
        Ok(ahead_ms) => tracing::debug!(ahead_ms, "this node's clock and ZooKeeper's"),
        Err(trouble) => tracing::debug!(%trouble, "cannot compare clocks with ZooKeeper"),
    }
}

/// How far our clock is ahead of theirs, in ms, at least.
async fn measure(link: &Link, paths: &Paths) -> Result<i64, Trouble> {
    let path = paths.clock(&random::id());
    let sent_ms = clock::unix_ms();
    let made_ms = link.stamp(&path).await?;
    Ok(ahead_ms(sent_ms, made_ms, clock::unix_ms()))
}

/// What was made at `made` by their clock was so between these two moments of ours.
fn ahead_ms(sent: i64, made: i64, answered: i64) -> i64 {
    if made < sent { sent - made } else { (answered - made).min(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_and_back_counts_for_no_difference() {
        for (sent, made, answered, ahead) in
            [(10, 10, 10, 0), (10, 15, 20, 0), (10, 4, 20, 6), (10, 26, 20, -6), (20, 25, 10, -15)]
        {
            assert_eq!(ahead_ms(sent, made, answered), ahead, "{sent} {made} {answered}");
        }
    }
}
