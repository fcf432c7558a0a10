//! A driver that does not get ready in time is given up, and what it wrote last is told.

use std::time::Duration;

use ractor::ActorRef;

use super::ContextMessage;
use super::ending::with_last_lines;
use super::state::State;
use crate::config::duration;
use crate::core::jobs::Failure;

impl State {
    pub async fn give_up_starting(&mut self, me: &ActorRef<ContextMessage>, limit: Duration) {
        let launched = self.launched.clone();
        self.kill_driver().await;
        let last_lines = match &launched {
            Some(launched) => self.shared.launcher.last_lines(launched).await,
            None => Vec::new(),
        };
        let how = format!("the driver was not ready within {} (contexts.creation-timeout)", duration::text(limit));
        self.lost(me, Failure::new("CreationTimeout", with_last_lines(how, &last_lines))).await;
    }
}
