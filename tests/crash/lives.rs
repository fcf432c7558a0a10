//! Which scenario passes which crash point; jobs that wait in a queue, and drivers that are lost.

use doyen::core::access::encode_basic;
use doyen::runtime::crash::FIRST_START;
use doyen::runtime::private_file;

use crate::promises::Job;
use crate::scenario::jobs;
use crate::server::{Place, eventually};
use crate::world::World;

const PASSWORD: &str = "open sesame";
/// A hash of it at the least cost.
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$kyj4KAQPkDHofxQqmZFrtcrDql5eltyrs3W6/tB5JPs";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Day,
    FirstStart,
    Queue,
    LostDrivers,
    /// Their shims live on, and tell.
    LostMains,
    Callbacks,
    Keys,
    Tokens,
    OldJobs,
    OldRest,
    Packed,
}

impl Scenario {
    pub fn of(point: &str) -> &'static [Self] {
        match point {
            _ if point == "store-id" || FIRST_START.contains(&point) => &[Self::FirstStart],
            "job-enqueue" | "jobs-assign" => &[Self::Queue],
            "context-restart" | "context-relaunch" | "job-retry" | "job-reassign" => {
                &[Self::LostDrivers, Self::LostMains]
            }
            "job-unpack" => &[Self::Packed],
            _ if point.starts_with("history-") => &[Self::Packed],
            "jobs-remove" | "jobs-trim" => &[Self::OldJobs],
            "context-remove" | "binary-remove" => &[Self::OldRest],
            "idempotency-claim" | "idempotency-expire" => &[Self::Keys],
            "binary-put" | "binary-delete" | "context-create" | "job-submit" | "data-rename" => {
                &[Self::Day, Self::Keys]
            }
            // Logs of lost attempts are content too.
            "blob-put" => &[Self::Day, Self::LostDrivers],
            "token-create" | "token-revoke" => &[Self::Tokens],
            _ if point.starts_with("callback-") => &[Self::Callbacks],
            _ => &[Self::Day],
        }
    }

    /// With a server's settings beyond those of all.
    pub fn place(self) -> Place {
        let place = Place::with(match self {
            Self::Queue => &["jobs.queue=true"],
            Self::LostDrivers | Self::LostMains => {
                &["contexts.restart-backoff=\"50ms\"", "jobs.retry-backoff=\"50ms\""]
            }
            Self::Callbacks => &["callbacks.max-backoff=\"200ms\"", "callbacks.attempts=10000"],
            Self::Keys => &["idempotency.max-keys=3"],
            Self::Tokens => &["security.users-file=\"users.toml\""],
            Self::OldJobs => &[
                "retention.interval=\"50ms\"",
                "retention.jobs-count=2",
                "retention.results-age=\"0s\"",
                "retention.logs-age=\"0s\"",
                "callbacks.max-backoff=\"200ms\"",
                "callbacks.attempts=10000",
            ],
            Self::Packed => &[
                "history.pack=\"on\"",
                "history.recent=1",
                "history.segment-jobs=2",
                "history.settled-after=\"0s\"",
                "history.interval=\"20ms\"",
                "retention.interval=\"50ms\"",
                "retention.jobs-count=9",
            ],
            Self::OldRest => &[
                "retention.interval=\"50ms\"",
                "retention.contexts-age=\"0s\"",
                "retention.binaries-unused-age=\"0s\"",
            ],
            Self::Day | Self::FirstStart => &[],
        });
        if self == Self::Tokens {
            let users = format!("[users.ann]\npassword = \"{HASH}\"\nroles = [\"admin\"]\n");
            private_file::replace(&place.path("users.toml"), &users).unwrap();
        }
        place
    }

    pub fn authorization(self) -> Option<String> {
        (self == Self::Tokens).then(|| encode_basic("ann", PASSWORD))
    }
}

impl World {
    pub async fn live(&mut self, scenario: Scenario) {
        match scenario {
            Scenario::Day => self.live_a_day().await,
            Scenario::FirstStart => self.live_briefly().await,
            Scenario::Queue => self.wait_for_places().await,
            Scenario::LostDrivers => self.lose_and_try_again(false).await,
            Scenario::LostMains => self.lose_and_try_again(true).await,
            Scenario::Callbacks => self.call_back().await,
            Scenario::Keys => self.repeat_with_keys().await,
            Scenario::Tokens => self.hand_out_tokens().await,
            Scenario::OldJobs => self.forget_jobs().await,
            Scenario::OldRest => self.forget_the_rest().await,
            Scenario::Packed => self.pack_jobs().await,
        }
    }

    /// One place in the context, and many who want it.
    async fn wait_for_places(&mut self) {
        self.upload("jobs", jobs()).await;
        self.open_with("c", "?max-jobs-per-context=1").await;
        let mut all = vec![self.begun("gate", &asked("Gate", "")).await];
        for token in ["one", "two", "three", "four"] {
            all.push(self.begun(token, &asked("Notes", "")).await);
        }
        // It counts as a run, of one line.
        std::fs::write(self.place.path("runs/open"), "open\n").unwrap();
        for job in all {
            self.comes_to_its_end(job).await;
        }
        self.all_jobs_are_whole().await;
        self.stop_context("c").await;
        self.finish().await;
    }

    /// Each job loses its driver once, and ends in the next attempt.
    async fn lose_and_try_again(&mut self, spare_shims: bool) {
        self.upload("jobs", jobs()).await;
        self.open_with("c", "?supervise=true&max-restarts=1000").await;
        for token in ["one", "two", "three"] {
            let begun = self.begun(token, &asked("Survives", "&retries=20")).await;
            let job = Job { log: format!("log of {}\n", begun.token), ..begun };
            eventually("its try", async || self.tries(&job) > 0).await;
            let logs = format!("/v1/jobs/{}/logs", job.id);
            eventually("its line", async || self.get(&logs).await.text() == job.log).await;
            self.lose_drivers(spare_shims);
            self.comes_to_its_end(job.clone()).await;
            let lost = self.get(&format!("/v1/jobs/{}", job.id)).await.json()["attempts"].as_array().unwrap().len();
            assert!((2..=lost + 1).contains(&self.tries(&job)), "{} tries, {lost} lost", self.tries(&job));
            let mut kept = 0;
            for number in 1..=lost {
                kept += usize::from(self.get(&format!("{logs}?attempt={number}")).await.text() == job.log);
            }
            assert!(kept > 0, "the log of the lost attempt is gone");
            // Those whose submission was not answered may wait for the next loss.
            self.kill_others("").await;
        }
        self.stop_context("c").await;
        self.finish().await;
    }

    fn tries(&self, job: &Job) -> usize {
        let tries = std::fs::read_to_string(self.place.path(&format!("tries-{}", job.token)));
        tries.unwrap_or_default().lines().count()
    }
}

/// A job in the context `c`.
pub fn asked(class: &str, more: &str) -> String {
    format!("/jobs?appName=jobs&classPath=jobs.{class}&context=c{more}")
}
