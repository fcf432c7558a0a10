//! Callbacks: tells a URL that a job has ended.
//!
//! Deliveries wait in memory, bounded, and are tried several times. (They become durable with the outbox.)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Semaphore;

use crate::api::rest;
use crate::core::jobs::{JobRecord, JobState, ResultPlace};
use crate::ports::{BinaryStore, BlobReader, Outbound};

#[derive(Clone)]
pub struct Callbacks {
    outbound: Arc<dyn Outbound>,
    blobs: Arc<dyn BinaryStore>,
    settings: crate::config::Callbacks,
    waiting: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
}

/// What is sent: short texts as they are, a long result in the middle as a stream.
struct Message {
    before: String,
    blob: Option<String>,
    after: &'static str,
}

impl Callbacks {
    pub fn new(outbound: Arc<dyn Outbound>, blobs: Arc<dyn BinaryStore>, settings: crate::config::Callbacks) -> Self {
        let waiting = Arc::new(Semaphore::new(settings.queue));
        let at_work = Arc::new(Semaphore::new(settings.concurrency));
        Self { outbound, blobs, settings, waiting, at_work }
    }

    /// Calls back if the job asked for it; a kill is not called back.
    pub fn job_ended(&self, record: &JobRecord, inline_result: Option<&str>) {
        let Some(url) = record.callback.clone() else { return };
        if record.state == JobState::Killed {
            return;
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::error!(job = %record.id, "too many callbacks wait (callbacks.queue); this one is dropped");
            return;
        };
        let message = message(record, inline_result);
        let (this, job) = (self.clone(), record.id.clone());
        tokio::spawn(async move {
            this.deliver(&job, &url, &message).await;
            drop(place);
        });
    }

    async fn deliver(&self, job: &str, url: &str, message: &Message) {
        let mut pause = self.settings.backoff;
        for attempt in 1..=self.settings.attempts {
            let outcome = {
                let _at_work = self.at_work.acquire().await;
                self.send(url, message).await
            };
            match outcome {
                Ok(()) => return,
                Err(error) => tracing::warn!(job, attempt, error, "callback not delivered"),
            }
            if attempt < self.settings.attempts {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(Duration::from_secs(3600));
            }
        }
        tracing::error!(job, "callback given up");
    }

    async fn send(&self, url: &str, message: &Message) -> Result<(), String> {
        let (blob, blob_bytes): (BlobReader, u64) = match &message.blob {
            Some(sha256) => self.blobs.read(sha256, 0, None).await.map_err(|e| e.to_string())?,
            None => (futures::stream::empty().boxed(), 0),
        };
        let length = (message.before.len() + message.after.len()) as u64 + blob_bytes;
        let text = |text: &str| futures::stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))]);
        let body = text(&message.before)
            .chain(blob.map(|part| part.map_err(std::io::Error::other)))
            .chain(text(message.after));
        self.outbound.callback(url, body.boxed(), length).await.map_err(|e| e.to_string())
    }
}

fn message(record: &JobRecord, inline_result: Option<&str>) -> Message {
    let id = serde_json::Value::from(record.id.as_str());
    match (&record.failure, &record.result) {
        (Some(failure), _) => Message { before: rest::failed_job(&record.id, failure), blob: None, after: "" },
        (None, Some(ResultPlace::Blob(blob))) => {
            Message { before: format!("{{\"jobId\":{id},\"result\":"), blob: Some(blob.sha256.clone()), after: "}" }
        }
        (None, _) => {
            let result = inline_result.unwrap_or("null");
            Message { before: format!("{{\"jobId\":{id},\"result\":{result}}}"), blob: None, after: "" }
        }
    }
}
