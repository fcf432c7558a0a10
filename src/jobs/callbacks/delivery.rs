//! One attempt to deliver: reads what is to be said, signs it, sends it, and records what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;

use super::{Counters, Secrets};
use crate::api::rest;
use crate::core::binaries::BlobRef;
use crate::core::callbacks::{Answer, CallbackState, Decision, Schedule, Took, retry_after};
use crate::core::jobs::{JobRecord, ResultPlace};
use crate::core::keys;
use crate::jobs::records::callbacks::outbox_key;
use crate::jobs::{Records, StoreError};
use crate::ports::{BinaryStore, BlobError, BlobReader, CallbackRequest, Outbound, OutboundError};
use crate::runtime::{clock, random};

/// The same with every repetition: receivers know by it what they have had.
const DELIVERY: &str = "doyen-delivery";
const ATTEMPT: &str = "doyen-attempt";
const SIGNATURE: &str = "doyen-signature";

/// Told in the log of a callback that is given up. A result that is still to be delivered is kept; one may be gone from
/// a store that another version wrote.
const GONE: &str = "the job's result is no longer kept";

/// Between two tries to record an attempt while the store is away.
const STORE_AGAIN: Duration = Duration::from_millis(500);
/// A target that takes longer is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What became of a key of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Delivered or given up, or it was moved by somebody else.
    Gone { slow: bool },
    /// It is due again.
    Later { slow: bool, due_ms: i64 },
    /// The store did not answer; nothing was sent.
    Away,
}

/// A body: short texts as they are, a long result in the middle as a stream.
struct Message {
    before: String,
    blob: Option<BlobRef>,
    after: &'static str,
}

/// Of a body that cannot be had. What another attempt would find as it is, is no reason for one.
fn unreadable(error: &BlobError) -> Answer {
    let why = format!("the result cannot be read: {error}");
    match error {
        BlobError::NotFound(_) | BlobError::WrongHash { .. } | BlobError::Damaged { .. } => Answer::Refused(why),
        BlobError::Full(_) | BlobError::Unavailable(_) | BlobError::Unreadable { .. } => Answer::None(why),
    }
}

#[derive(Clone)]
pub(super) struct Courier {
    outbound: Arc<dyn Outbound>,
    blobs: Arc<dyn BinaryStore>,
    records: Records,
    timeout: Duration,
    pub(super) schedule: Schedule,
    pub(super) settings: crate::config::Callbacks,
    secrets: Secrets,
    counters: Arc<Counters>,
    began_ms: i64,
    began: Instant,
}

impl Courier {
    pub(super) fn new(
        outbound: Arc<dyn Outbound>,
        blobs: Arc<dyn BinaryStore>,
        records: Records,
        settings: crate::config::Callbacks,
        secrets: Secrets,
        counters: Arc<Counters>,
    ) -> Self {
        let crate::config::Callbacks { timeout, attempts, max_age, backoff, max_backoff, .. } = settings;
        let schedule = Schedule { attempts, max_age, backoff, max_backoff };
        let (began_ms, began) = (clock::unix_ms(), clock::instant());
        Self { outbound, blobs, records, timeout, schedule, settings, secrets, counters, began_ms, began }
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    /// The clock that due times go by: that of the wall at the start, without its steps since.
    pub(super) fn now_ms(&self) -> i64 {
        let since = i64::try_from(clock::since(self.began).as_millis()).unwrap_or(i64::MAX);
        self.began_ms.saturating_add(since)
    }

    pub(super) async fn deliver(&self, key: &str) -> Outcome {
        match self.try_deliver(key).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(key, %error, "cannot read a callback; trying again");
                Outcome::Away
            }
        }
    }

    async fn try_deliver(&self, key: &str) -> Result<Outcome, StoreError> {
        let job = keys::leaf(key);
        let before = self.records.callback(job).await?;
        let record = self.records.job(job).await?;
        let (Some(before), Some(record)) = (before, record) else {
            tracing::warn!(job, key, "dropped from the outbox: there is no such job");
            self.records.drop_from_outbox(key).await?;
            return Ok(Outcome::Gone { slow: false });
        };
        // It was moved since the key was read.
        if outbox_key(&before.record, job).as_deref() != Some(key) {
            return Ok(Outcome::Gone { slow: false });
        }
        let Some(url) = &record.callback else {
            self.records.drop_from_outbox(key).await?;
            return Ok(Outcome::Gone { slow: false });
        };
        let message = self.message(&record).await?;
        let (began_ms, began) = (clock::unix_ms(), clock::instant());
        let answer = match &message {
            Some(message) => self.send(job, url, before.record.attempts + 1, message).await,
            None => Answer::Refused(GONE.into()),
        };
        let took = clock::since(began);
        let slow = took > SLOW || matches!(answer, Answer::None(_));
        let age = self.now_ms().saturating_sub(before.record.round_began_ms);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let decision = self.schedule.decide(&answer, before.record.round_attempts + 1, age, random::fraction());
        let took = Took { began_ms, took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) };
        let after = before.record.attempted(took, &answer, decision, self.now_ms());
        self.count(job, &answer, decision);
        while let Err(error) = self.records.callback_attempted(job, &before, &after).await {
            if matches!(error, StoreError::Conflict(_)) {
                // Replayed meanwhile, or recorded by a commit whose answer was lost.
                return Ok(Outcome::Gone { slow });
            }
            tracing::error!(job, %error, "cannot record a callback's attempt; trying again");
            tokio::time::sleep(STORE_AGAIN).await;
        }
        Ok(match after.state {
            CallbackState::Waiting => Outcome::Later { slow, due_ms: after.due_ms },
            CallbackState::Delivered | CallbackState::GivenUp => Outcome::Gone { slow },
        })
    }

    fn count(&self, job: &str, answer: &Answer, decision: Decision) {
        let Counters { delivered, failed, given_up } = &*self.counters;
        if decision == Decision::Delivered {
            delivered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        failed.fetch_add(1, Ordering::Relaxed);
        if decision == Decision::GiveUp {
            given_up.fetch_add(1, Ordering::Relaxed);
            tracing::error!(job, ?answer, "callback given up");
        } else {
            tracing::warn!(job, ?answer, ?decision, "callback not delivered");
        }
    }

    /// `None`: there is nothing to tell any more.
    async fn message(&self, job: &JobRecord) -> Result<Option<Message>, StoreError> {
        let id = serde_json::Value::from(job.id.as_str());
        Ok(Some(match (&job.failure, &job.result) {
            (Some(failure), _) => Message { before: rest::failed_job(&job.id, failure), blob: None, after: "" },
            (None, Some(ResultPlace::Blob(blob))) => {
                Message { before: format!("{{\"jobId\":{id},\"result\":"), blob: Some(blob.clone()), after: "}" }
            }
            (None, Some(ResultPlace::Inline)) => {
                let Some(result) = self.records.job_result(&job.id).await? else { return Ok(None) };
                Message { before: format!("{{\"jobId\":{id},\"result\":{result}}}"), blob: None, after: "" }
            }
            (None, None) => return Ok(None),
        }))
    }

    async fn send(&self, job: &str, url: &str, attempt: u32, message: &Message) -> Answer {
        let mut headers = vec![(DELIVERY, job.to_owned()), (ATTEMPT, attempt.to_string())];
        match self.signature(message).await {
            Ok(signature) => headers.extend(signature.map(|signature| (SIGNATURE, signature))),
            Err(answer) => return answer,
        }
        let (blob, blob_bytes) = match self.content(message).await {
            Ok(content) => content,
            Err(answer) => return answer,
        };
        let length = (message.before.len() + message.after.len()) as u64 + blob_bytes;
        let text = |text: &str| futures::stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))]);
        let blob = blob.map(|part| part.map_err(std::io::Error::other));
        let body = text(&message.before).chain(blob).chain(text(message.after)).boxed();
        let timeout = self.timeout.saturating_add(Duration::from_secs(length >> 20));
        let request = CallbackRequest { uri: url.to_owned(), headers, body, length, timeout };
        match self.outbound.callback(request).await {
            Ok(answer) => {
                let retry_after = answer.retry_after.and_then(|value| retry_after(&value, clock::unix_ms()));
                Answer::Status { code: answer.status, retry_after }
            }
            Err(OutboundError::Failed(why)) => Answer::None(why),
            Err(OutboundError::Malformed(why) | OutboundError::Forbidden(why)) => Answer::Refused(why),
        }
    }

    /// A long result is read twice: the signature goes before it.
    async fn signature(&self, message: &Message) -> Result<Option<String>, Answer> {
        let Some(mut signing) = self.secrets.signing(clock::unix_ms() / 1000).await else { return Ok(None) };
        signing.add(message.before.as_bytes());
        let (mut blob, _) = self.content(message).await?;
        while let Some(part) = blob.next().await {
            signing.add(&part.map_err(|error| unreadable(&error))?);
        }
        signing.add(message.after.as_bytes());
        Ok(Some(signing.header()))
    }

    async fn content(&self, message: &Message) -> Result<(BlobReader, u64), Answer> {
        match &message.blob {
            Some(blob) => {
                let (content, bytes) =
                    self.blobs.read(&blob.sha256, 0, None).await.map_err(|error| unreadable(&error))?;
                if bytes != blob.size_bytes {
                    let why = format!("the result is damaged: it has {bytes} bytes of {}", blob.size_bytes);
                    return Err(Answer::Refused(why));
                }
                Ok((content, bytes))
            }
            None => Ok((futures::stream::empty().boxed(), 0)),
        }
    }
}
