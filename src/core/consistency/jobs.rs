//! Jobs, what is kept under their ids, and the indexes that name them.

use super::{Judged, Kind, Seen, State};
use crate::core::binaries::BlobRef;
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::jobs::{JobRecord, JobState, ResultPlace};
use crate::core::keys;
use crate::core::timeline::Timeline;

const KEPT: &str = "nobody can ask for it; it may be all that is left of the job";
const IN_VAIN: &str = "it is read in vain";
const NO_USE: &str = "nobody can ask for it";

pub(super) fn job(it: &mut Judged<'_>) {
    let Some(job) = it.record::<JobRecord>() else { return };
    if !it.stands_at(&keys::job(&job.id)) {
        return;
    }
    if !it.around.is_there(&keys::job_config(&job.id)) {
        let means = "the configuration that it was posted with is gone; it cannot be given to a driver";
        it.tell(Kind::MissingRecord, format!("{} is missing", keys::job_config(&job.id)), means);
    }
    if job.state.has_ended() {
        ended_job(it, &job);
    } else {
        unended_job(it, &job);
    }
    for log in job.logs() {
        content(it, "log", log, "what it wrote is gone");
    }
}

fn ended_job(it: &mut Judged<'_>, job: &JobRecord) {
    it.missing(&keys::job_ended(job.state.name(), &job.id), "lists of jobs by their state lack it");
    let gone = "its result cannot be read";
    match &job.result {
        Some(ResultPlace::Blob(blob)) => content(it, "result", blob, gone),
        Some(ResultPlace::Inline) if !it.around.is_there(&keys::job_result(&job.id)) => {
            it.tell(Kind::MissingRecord, format!("{} is missing", keys::job_result(&job.id)), gone);
        }
        _ => {}
    }
    let called_back = job.callback.is_some() && job.state != JobState::Killed;
    if called_back && !it.around.is_there(&keys::job_callback(&job.id)) {
        let means = "whether its callback was delivered is unknown, and it will not be";
        it.tell(Kind::MissingRecord, format!("{} is missing", keys::job_callback(&job.id)), means);
    }
}

fn unended_job(it: &mut Judged<'_>, job: &JobRecord) {
    it.missing(&keys::job_active(&job.id), "no server takes it up, so it never ends");
    for used in &job.binaries {
        if used.uploaded {
            it.missing(&keys::binary_use(&used.name, &job.id), "the binary can be deleted although the job needs it");
        }
        content(it, "code", &used.content, "it cannot be given to a driver");
    }
    if job.queued.is_some() {
        let waits = keys::job_queue(&job.context_id, job.priority, &job.id);
        it.missing(&waits, "it waits for ever: its queue does not know it");
    }
}

pub(super) fn content(it: &mut Judged<'_>, what: &str, blob: &BlobRef, means: &'static str) {
    let BlobRef { sha256, size_bytes } = blob;
    match it.contents.refer(sha256, *size_bytes) {
        State::Whole => {}
        State::Missing => it.tell(Kind::MissingContent, format!("its {what}, blob {sha256}, is missing"), means),
        State::Unreadable => {
            let why = it.contents.unreadable(sha256).unwrap_or_default();
            it.tell(Kind::UnreadableContent, format!("its {what}, blob {sha256}, cannot be read: {why}"), means);
        }
        State::Damaged => it.tell(Kind::DamagedContent, format!("its {what}, blob {sha256}, is damaged"), means),
    }
}

/// The job of an entry, if an entry may be judged by it.
fn job_of(it: &Judged<'_>, id: &str) -> Option<Option<(JobRecord, u64)>> {
    match it.around.read::<JobRecord>(&keys::job(id)) {
        Seen::Absent => Some(None),
        Seen::Read(job, version) => Some(Some((job, version))),
        Seen::Unreadable => None,
    }
}

pub(super) fn active(it: &mut Judged<'_>) {
    let key = keys::job(it.name);
    match job_of(it, it.name) {
        Some(None) => it.dangling("there is no such job", IN_VAIN, (&key, None)),
        Some(Some((job, version))) if job.state.has_ended() => {
            it.dangling(
                format!("the job is {}", job.state.name()),
                "the job looks as if it ran",
                (&key, Some(version)),
            );
        }
        _ => {}
    }
}

pub(super) fn ended(it: &mut Judged<'_>) {
    let Some((state, id)) = it.name.split_once('/') else { return it.no_such_key() };
    let key = keys::job(id);
    match job_of(it, id) {
        Some(None) => it.dangling("there is no such job", IN_VAIN, (&key, None)),
        Some(Some((job, version))) if job.state.name() != state => {
            let wrong = format!("the job is {}", job.state.name());
            it.dangling(wrong, "lists of jobs by their state show it in two", (&key, Some(version)));
        }
        _ => {}
    }
}

/// What has a job's id, and nothing in it to be read here.
pub(super) fn of_job(it: &mut Judged<'_>, what: &str) {
    if !it.around.is_there(&keys::job(it.name)) {
        it.tell(Kind::Orphan, format!("the {what} of a job that is not there"), KEPT);
    }
}

pub(super) fn result(it: &mut Judged<'_>) {
    match job_of(it, it.name) {
        Some(None) => it.tell(Kind::Orphan, "the result of a job that is not there", KEPT),
        Some(Some((job, version))) if job.result != Some(ResultPlace::Inline) => {
            let wrong = "the job's record knows of no such result";
            match job.state.has_ended() {
                true => it.left_over(wrong, NO_USE, (&keys::job(&job.id), Some(version))),
                false => it.tell(Kind::Orphan, wrong, NO_USE),
            }
        }
        _ => {}
    }
}

pub(super) fn timeline(it: &mut Judged<'_>) {
    let key = keys::job(it.name);
    if it.record::<Timeline>().is_some() && !it.around.is_there(&key) {
        it.left_over("the timeline of a job that is not there", NO_USE, (&key, None));
    }
}

pub(super) fn callback(it: &mut Judged<'_>) {
    let Some(record) = it.record::<CallbackRecord>() else { return };
    let (key, waits) = (keys::job(it.name), record.state == CallbackState::Waiting);
    if !waits && !it.around.is_there(&key) {
        it.left_over("the callback of a job that is not there", NO_USE, (&key, None));
    }
    if waits {
        of_job(it, "callback");
        it.missing(&keys::outbox(&record.target, record.due_ms, it.name), "the callback is not delivered");
    }
}

pub(super) fn outbox(it: &mut Judged<'_>) {
    let Some((_, _, job)) = keys::outbox_parts(it.key) else { return it.no_such_key() };
    let key = keys::job_callback(job);
    match it.around.read::<CallbackRecord>(&key) {
        Seen::Absent => it.dangling("there is no such callback", IN_VAIN, (&key, None)),
        Seen::Read(record, version) => {
            let own = keys::outbox(&record.target, record.due_ms, job);
            if record.state != CallbackState::Waiting || own != it.key {
                it.dangling("the callback does not wait here", IN_VAIN, (&key, Some(version)));
            }
        }
        Seen::Unreadable => {}
    }
}

pub(super) fn queue(it: &mut Judged<'_>) {
    let id = keys::leaf(it.key);
    let key = keys::job(id);
    match job_of(it, id) {
        Some(None) => it.dangling("there is no such job", IN_VAIN, (&key, None)),
        Some(Some((job, version))) => {
            let waits = !job.state.has_ended() && job.queued.is_some();
            if !waits || keys::job_queue(&job.context_id, job.priority, id) != it.key {
                it.dangling("the job does not wait here", IN_VAIN, (&key, Some(version)));
            }
        }
        None => {}
    }
}
