//! What becomes of a context whose driver is lost, or that nobody uses: when an attempt counts as dead, whether another
//! follows and after what time, which of its jobs run again. Pure: what is known goes in, a decision comes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contexts::ContextState;
use super::jobs::JobAttempt;

/// The longest time between two attempts of a context, or of a job.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// With `relaunch = "at-once"`, a driver that was away for so long is given up: longer than a shim needs to find its
/// server again after a restart (two connections that hang, and two pauses).
pub const AT_ONCE_AFTER: Duration = Duration::from_secs(20);

/// When attempt n+1 may begin while it is not known that attempt n is dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relaunch {
    /// After `fence-wait`, when it has ended itself.
    #[default]
    WhenDead,
    /// After a short time: its outside effects may double, but it can no longer write anything here.
    AtOnce,
}

impl Relaunch {
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "when-dead" => Some(Self::WhenDead),
            "at-once" => Some(Self::AtOnce),
            _ => None,
        }
    }
}

/// How a context lives: its settings over the server's defaults, as they were when it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Life {
    /// Whether a driver that is lost is replaced.
    pub supervise: bool,
    /// So often in a row.
    pub max_restarts: u32,
    /// Time before the first; doubles for each further one.
    pub restart_backoff_ms: u64,
    pub relaunch: Relaunch,
    /// The context is stopped when it had no job for so long; 0 is never.
    pub idle_timeout_ms: u64,
    /// The context is stopped at this age; 0 is never.
    pub max_lifetime_ms: u64,
}

/// What can be seen of a driver.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    pub attached: bool,
    /// Whether the shim's process is there.
    pub shim_alive: bool,
    /// Since it was attached, or since this server began to wait for it.
    pub away_for: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It may come back.
    Wait,
    /// Kill what is there. The attempt is over if then nothing is left, or else with `surely`.
    Kill { surely: bool },
}

/// Whether an attempt is over. Nothing of it may run when the next begins; what cannot be seen to be dead is dead after
/// `fence_wait`, which is longer than the time after which a driver without a server ends itself.
pub fn fence(sight: Sight, relaunch: Relaunch, fence_wait: Duration) -> Fence {
    let away_over = |limit| sight.away_for.is_some_and(|away| away > limit);
    if sight.attached {
        Fence::Wait
    } else if away_over(fence_wait) || (relaunch == Relaunch::AtOnce && away_over(AT_ONCE_AFTER)) {
        Fence::Kill { surely: true }
    } else if !sight.shim_alive {
        Fence::Kill { surely: relaunch == Relaunch::AtOnce }
    } else {
        Fence::Wait
    }
}

/// A driver was lost.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    pub state: ContextState,
    /// Restarts in a row so far.
    pub restarts: u32,
    /// How long its context ran.
    pub ran_for: Duration,
    /// A context that ran so long is well: its restarts are forgotten.
    pub healthy_after: Duration,
    /// For a context that is made for one job: whether that is to run again.
    pub wanted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLoss {
    /// The context is over.
    End,
    /// It is over because it was restarted too often in a row.
    GiveUp { restarts: u32 },
    /// Another attempt follows; with it, there were so many restarts in a row.
    Relaunch { after: Duration, restarts: u32 },
}

/// A context that never ran is not tried again: who asked for it hears why it failed.
pub fn after_loss(loss: Loss, life: &Life) -> AfterLoss {
    let may_go_on = matches!(loss.state, ContextState::Running | ContextState::Restarting);
    if !life.supervise || !may_go_on || !loss.wanted {
        return AfterLoss::End;
    }
    let restarts = if loss.ran_for >= loss.healthy_after { 0 } else { loss.restarts };
    if restarts >= life.max_restarts {
        return AfterLoss::GiveUp { restarts };
    }
    let after = backoff(Duration::from_millis(life.restart_backoff_ms), restarts);
    AfterLoss::Relaunch { after, restarts: restarts + 1 }
}

/// Doubles with each attempt that went before, up to `LONGEST_BACKOFF` (or `first`, when that is longer).
pub fn backoff(first: Duration, before: u32) -> Duration {
    let factor = 1_u32.checked_shl(before.min(31)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(LONGEST_BACKOFF.max(first))
}

/// Which ends of a job are no reason to give it up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// It was lost with its driver.
    #[default]
    Loss,
    /// That, or it failed by itself, or its process died.
    Any,
}

impl RetryOn {
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "loss" => Some(Self::Loss),
            "any" => Some(Self::Any),
            _ => None,
        }
    }
}

/// How often a job may run again, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Retry {
    pub retries: u32,
    /// Time before the first; doubles for each further one.
    pub backoff_ms: u64,
    pub on: RetryOn,
}

impl Retry {
    pub fn is_none(&self) -> bool {
        self.retries == 0
    }

    /// After what time a job runs again that was lost with its driver; `None` when it does not.
    pub fn after_loss(&self, before: &[JobAttempt]) -> Option<Duration> {
        let count = u32::try_from(before.len()).unwrap_or(u32::MAX);
        (count < self.retries).then(|| backoff(Duration::from_millis(self.backoff_ms), count))
    }

    /// The same for a job that failed by itself.
    pub fn after_failure(&self, before: &[JobAttempt]) -> Option<Duration> {
        if self.on == RetryOn::Any { self.after_loss(before) } else { None }
    }
}

/// What is asked about a context that runs.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// It has jobs, or somebody is about to give it one.
    pub busy: bool,
    pub idle_for: Duration,
    pub age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    Idle,
    Old,
}

/// Whether a context's time is over.
pub fn expiry(used: Use, life: &Life) -> Option<Expiry> {
    let over = |time: Duration, limit_ms: u64| limit_ms > 0 && time >= Duration::from_millis(limit_ms);
    if over(used.age, life.max_lifetime_ms) {
        Some(Expiry::Old)
    } else if !used.busy && over(used.idle_for, life.idle_timeout_ms) {
        Some(Expiry::Idle)
    } else {
        None
    }
}

/// When a context was made, on a clock that nobody sets: time since the machine's start, in this very boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Birth {
    pub boot_id: String,
    pub boot_ms: u64,
}

/// The age of a context, in ms. After a reboot only the wall clock can tell.
pub fn age_ms(birth: Option<&Birth>, now: Option<&Birth>, started_ms: i64, now_ms: i64) -> u64 {
    match (birth, now) {
        (Some(birth), Some(now)) if birth.boot_id == now.boot_id => now.boot_ms.saturating_sub(birth.boot_ms),
        _ => u64::try_from(now_ms.saturating_sub(started_ms)).unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "supervision_tests.rs"]
mod tests;
