//! Where records stand in the MetaStore. Names of users are escaped, so that a `/` in one is no level.

use super::queue::Priority;

/// Tells this metadata store from all others: made once, at the first start or import. No export carries it.
pub const STORE_ID: &str = "store-id";

/// Exists while an import into the store is not complete: no server serves it then.
pub const STORE_IMPORT: &str = "store-import";

/// What stands before the first `/` of each key that this version writes, or the whole key. Of other families this version knows
/// nothing: `doyen store` exports and imports them as they are.
pub const FAMILIES: [&str; 22] = [
    "attachments",
    "binaries",
    "binary-uses",
    "context-names",
    "contexts",
    "contexts-live",
    "history",
    HISTORY_HEAD,
    "idempotency",
    "idempotency-times",
    "job-callbacks",
    "job-configs",
    "job-queue",
    "job-results",
    "job-timelines",
    "jobs",
    "jobs-active",
    "jobs-ended",
    "outbox",
    STORE_ID,
    STORE_IMPORT,
    "tokens",
];

/// The family of a key.
pub fn family(key: &str) -> &str {
    key.split_once('/').map_or(key, |(family, _)| family)
}

pub const JOBS: &str = "jobs/";
pub const JOBS_ACTIVE: &str = "jobs-active/";
pub const BINARIES: &str = "binaries/";
pub const CONTEXTS: &str = "contexts/";
pub const CONTEXTS_LIVE: &str = "contexts-live/";

/// A job's record. Ids sort by time of submission, so the newest stand last.
pub fn job(id: &str) -> String {
    format!("{JOBS}{id}")
}

/// Exists while the job has not ended.
pub fn job_active(id: &str) -> String {
    format!("{JOBS_ACTIVE}{id}")
}

/// Exists once the job has ended in `state`.
pub fn job_ended(state: &str, id: &str) -> String {
    format!("{}{id}", jobs_ended(state))
}

pub fn jobs_ended(state: &str) -> String {
    format!("jobs-ended/{state}/")
}

pub fn job_config(id: &str) -> String {
    format!("job-configs/{id}")
}

/// Exists while the job waits in its context's queue; they sort in the order of turns.
pub fn job_queue(context: &str, priority: Priority, id: &str) -> String {
    format!("{}{:03}/{id}", job_queues(context), priority.inverted())
}

pub fn job_queues(context: &str) -> String {
    format!("job-queue/{context}/")
}

/// The result, when it is short.
pub fn job_result(id: &str) -> String {
    format!("job-results/{id}")
}

pub fn binary(name: &str) -> String {
    format!("{BINARIES}{}", escape(name))
}

/// Exists while a job that has not ended uses the binary.
pub fn binary_use(name: &str, job: &str) -> String {
    format!("{}{job}", binary_uses(name))
}

pub fn binary_uses(name: &str) -> String {
    format!("binary-uses/{}/", escape(name))
}

pub fn context(id: &str) -> String {
    format!("{CONTEXTS}{id}")
}

/// Exists while the context has not ended.
pub fn context_live(id: &str) -> String {
    format!("{CONTEXTS_LIVE}{id}")
}

/// Names the newest context of that name.
pub fn context_name(name: &str) -> String {
    format!("context-names/{}", escape(name))
}

/// Which attachment of which attempt may be given jobs.
pub fn attachment(context: &str) -> String {
    format!("attachments/{context}")
}

/// What a request under an idempotency key did.
pub fn idempotency(id: &str) -> String {
    format!("idempotency/{id}")
}

pub const IDEMPOTENCY_TIMES: &str = "idempotency-times/";

/// Finds the record by its age: the oldest stand first. The time is in milliseconds since the epoch.
pub fn idempotency_time(created_ms: i64, id: &str) -> String {
    format!("{IDEMPOTENCY_TIMES}{:016}/{id}", created_ms.max(0))
}

/// The time and the id in such a key.
pub fn idempotency_time_of(key: &str) -> Option<(i64, &str)> {
    let (time, id) = key.strip_prefix(IDEMPOTENCY_TIMES)?.split_once('/')?;
    Some((time.parse().ok()?, id))
}

pub const OUTBOX: &str = "outbox/";

/// A callback that waits for its delivery. By target, so that none has to be read past another's; then by when it is due.
pub fn outbox(target: &str, due_ms: i64, job: &str) -> String {
    format!("{}{due_ms:015}/{job}", outbox_of(target))
}

pub fn outbox_of(target: &str) -> String {
    format!("{OUTBOX}{}/", escape(target))
}

/// Behind all that waits for this target, and before any other target.
pub fn outbox_behind(target: &str) -> String {
    format!("{OUTBOX}{}0", escape(target))
}

/// Target, due time and job of an outbox's key.
pub fn outbox_parts(key: &str) -> Option<(String, i64, &str)> {
    let mut parts = key.strip_prefix(OUTBOX)?.split('/');
    let (target, due, job) = (parts.next()?, parts.next()?, parts.next()?);
    Some((unescape(target), due.parse().ok()?, job))
}

/// What became of a job's callback; written with its end.
pub fn job_callback(id: &str) -> String {
    format!("job-callbacks/{id}")
}

/// Tokens that clients hold instead of a password.
pub const TOKENS: &str = "tokens/";

pub fn token(id: &str) -> String {
    format!("{TOKENS}{id}")
}

/// Everything that is kept under the id of a job that ended in `state`.
pub fn of_ended_job(state: &str, id: &str) -> impl Iterator<Item = String> {
    [job(id), job_config(id), job_result(id), job_timeline(id), job_callback(id), job_ended(state, id)].into_iter()
}

/// Where the time of a job that has ended went.
pub fn job_timeline(id: &str) -> String {
    format!("job-timelines/{id}")
}

/// Manifests of segments, the oldest first. docs/adr/0022.
pub const HISTORY: &str = "history/";
/// Written with each change of a manifest.
pub const HISTORY_HEAD: &str = "history-head";

pub fn history(number: u64) -> String {
    format!("{HISTORY}{number:012}")
}

/// The last part of a key.
pub fn leaf(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn escape(name: &str) -> String {
    if !name.contains(['%', '/']) {
        return name.to_owned();
    }
    name.replace('%', "%25").replace('/', "%2F")
}

fn unescape(name: &str) -> String {
    name.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_sorts_by_target_and_then_by_when_it_is_due() {
        let keys = [outbox("h:8", 999, "b"), outbox("h:8", 1_795_256_199_840, "a"), outbox("h:80", 0, "c")];
        assert!(keys.is_sorted());
        assert!(keys[1] < outbox_behind("h:8") && outbox_behind("h:8") < keys[2]);
        assert_eq!(outbox_parts(&keys[1]), Some(("h:8".into(), 1_795_256_199_840, "a")));
        assert_eq!(outbox_parts(&outbox("a/%2F%", 7, "j")), Some(("a/%2F%".into(), 7, "j")));
        assert_eq!(outbox_parts("jobs/1"), None);
    }

    #[test]
    fn a_slash_in_a_name_is_no_level() {
        assert_eq!(binary("a/b%"), "binaries/a%2Fb%25");
        assert!(!binary_use("a/b", "1").starts_with(&binary_uses("a")));
    }

    #[test]
    fn idempotency_keys_sort_by_their_age_and_can_be_read_back() {
        let (old, new) = (idempotency_time(999, "f"), idempotency_time(1_795_267_498_531, "a"));
        assert!(old < new);
        assert_eq!(idempotency_time_of(&new), Some((1_795_267_498_531, "a")));
        assert_eq!(idempotency_time_of("idempotency/a"), None);
    }

    #[test]
    fn a_queue_sorts_in_the_order_of_turns() {
        let key = |priority, id| job_queue("c", Priority::new(priority).unwrap(), id);
        let turns = [key(100, "9"), key(9, "1"), key(0, "1"), key(0, "2"), key(-1, "0"), key(-100, "0")];
        assert!(turns.is_sorted());
    }
}
