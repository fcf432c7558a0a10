//! Contexts that nobody uses, or that are old enough, are stopped.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::ContextMessage;
use super::state::State;
use crate::config::duration;
use crate::core::contexts::{ContextRecord, ContextState};
use crate::core::supervision::{Birth, Expiry, Use, age_ms, expiry};
use crate::runtime::clock;

/// Now, on the clock that nobody sets.
pub fn birth() -> Option<Birth> {
    let boot_ms = u64::try_from(clock::boottime()?.as_millis()).ok()?;
    Some(Birth { boot_id: clock::boot_id()?, boot_ms })
}

/// How old the context is.
pub fn age(record: &ContextRecord) -> Duration {
    Duration::from_millis(age_ms(record.birth.as_ref(), birth().as_ref(), record.started_ms, clock::unix_ms()))
}

impl State {
    pub async fn expire(&mut self, me: &ActorRef<ContextMessage>) {
        if !matches!(self.record.state, ContextState::Running | ContextState::Restarting) || self.stop_pursued {
            return;
        }
        let all = self.record.max_jobs;
        // A place that is taken is a job that runs, or one that is just being recorded.
        let busy = self.record.ad_hoc
            || !self.jobs.is_empty()
            || self.queue.count() > 0
            || self.slots.available_permits() < all as usize;
        if busy {
            self.idle_since = clock::instant();
        }
        let age = self.age_at_first + clock::since(self.first);
        let life = &self.record.life;
        let reason = match expiry(Use { busy, idle_for: clock::since(self.idle_since), age }, life) {
            None => return,
            Some(Expiry::Old) => format!("it is older than max-lifetime ({})", text(life.max_lifetime_ms)),
            Some(Expiry::Idle) => format!("it had no job for idle-timeout ({})", text(life.idle_timeout_ms)),
        };
        // With all places taken no job can come between the decision and the stop.
        let places = Arc::clone(&self.slots).try_acquire_many_owned(all);
        if !busy && places.is_err() {
            return;
        }
        tracing::info!(context = %self.record.name, id = %self.record.id, %reason, "the context's time is over");
        self.record.stopped_because = Some(reason);
        self.stop(me, false).await;
        if self.record.state == ContextState::Stopping || self.stop_pursued {
            if let Ok(places) = places {
                places.forget();
            }
        } else {
            self.record.stopped_because = None;
        }
    }
}

fn text(ms: u64) -> String {
    duration::text(Duration::from_millis(ms))
}
