//! Binaries and their users, segments of old jobs, idempotency keys and their times, tokens, the mark of an import.

use super::jobs::content;
use super::{Judged, Kind, Seen};
use crate::core::access::TokenRecord;
use crate::core::binaries::BinaryRecord;
use crate::core::history::catalog::Manifest;
use crate::core::idempotency::IdempotencyRecord;
use crate::core::jobs::JobRecord;
use crate::core::keys;

pub(super) fn binary(it: &mut Judged<'_>) {
    let Some(binary) = it.record::<BinaryRecord>() else { return };
    if it.stands_at(&keys::binary(&binary.name)) {
        content(it, "content", &binary.content, "jobs that name it fail until it is uploaded again");
    }
}

pub(super) fn binary_use(it: &mut Judged<'_>) {
    let id = keys::leaf(it.key);
    let (key, means) = (keys::job(id), "the binary cannot be deleted");
    match it.around.read::<JobRecord>(&key) {
        Seen::Absent => it.dangling("there is no such job", means, (&key, None)),
        Seen::Read(job, version) => {
            let used = |name: &str| keys::binary_use(name, id) == it.key;
            let uses = job.binaries.iter().any(|binary| binary.uploaded && used(&binary.name));
            if job.state.has_ended() || !uses {
                it.dangling("the job does not use it", means, (&key, Some(version)));
            }
        }
        Seen::Unreadable => {}
    }
}

pub(super) fn idempotency(it: &mut Judged<'_>) {
    if let Some(record) = it.record::<IdempotencyRecord>() {
        it.missing(&keys::idempotency_time(record.created_ms, it.name), "it is remembered for ever");
    }
}

pub(super) fn idempotency_time(it: &mut Judged<'_>) {
    let Some((_, id)) = keys::idempotency_time_of(it.key) else { return it.no_such_key() };
    let (key, means) = (keys::idempotency(id), "a key that is in use may be forgotten early");
    match it.around.read::<IdempotencyRecord>(&key) {
        Seen::Absent => it.dangling("there is no such record", "it is read in vain", (&key, None)),
        Seen::Read(record, version) if keys::idempotency_time(record.created_ms, id) != it.key => {
            it.dangling("the record is of another time", means, (&key, Some(version)));
        }
        _ => {}
    }
}

pub(super) fn token(it: &mut Judged<'_>) {
    if let Some(token) = it.record::<TokenRecord>() {
        it.stands_at(&keys::token(&token.id));
    }
}

/// What is in the segment is judged by who reads it.
pub(super) fn segment(it: &mut Judged<'_>) {
    if let Some(manifest) = it.record::<Manifest>() {
        content(it, "segment", &manifest.segment, "the old jobs in it are no longer found");
    }
}

pub(super) fn import(it: &mut Judged<'_>) {
    let wrong = "an import into this store has not come to its end";
    it.tell(Kind::HalfImported, wrong, "no server serves it; `doyen store import` of the same file goes on");
}
