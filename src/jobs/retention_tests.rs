//! Retention over stores in memory: what goes, what stays, and that no history loses content that a record refers to.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::core::binaries::{BinaryType, BlobRef};
use crate::core::callbacks::CallbackRecord;
use crate::core::contexts::Attachment;
use crate::core::jobs::{BinaryUse, Outcome};
use crate::ports::Revision;

const AGE: Duration = Duration::from_secs(10);

struct World {
    records: Records,
    blobs: Arc<dyn BinaryStore>,
    sweeper: Sweeper,
    removed: Arc<Removed>,
    attachment: Revision,
    /// As the sweeper counts it: not while it passes.
    ran: Duration,
    in_pass: bool,
    now: Duration,
    now_ms: i64,
    jobs: u64,
}

fn settings(change: impl Fn(&mut crate::config::Retention)) -> crate::config::Retention {
    let mut settings = crate::config::Retention { unreferenced_age: AGE, batch: 2, ..Default::default() };
    change(&mut settings);
    settings
}

impl World {
    async fn new(settings: &crate::config::Retention) -> Self {
        let records = Records::new(Arc::new(MemoryStore::default()));
        let blobs: Arc<dyn BinaryStore> = Arc::new(MemoryBlobs::default());
        let removed = Arc::<Removed>::default();
        let sweeper = Sweeper::new(records.clone(), Arc::clone(&blobs), settings, Arc::clone(&removed));
        let context = serde_json::json!({
            "id": "c", "name": "c", "kind": "python", "state": "RUNNING", "started-ms": 0, "settings": "{}",
            "max-jobs": 8, "principal": "p", "attempt": 1, "secret-hash": "",
        });
        records.create_context(&serde_json::from_value(context).unwrap(), None).await.unwrap();
        let attachment = records.attach("c", &Attachment { attempt: 1, node: "n".into() }).await.unwrap();
        Self {
            records,
            blobs,
            sweeper,
            removed,
            attachment,
            ran: Duration::ZERO,
            in_pass: false,
            now: Duration::ZERO,
            now_ms: 0,
            jobs: 0,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        if !self.in_pass {
            self.ran += Duration::from_secs(seconds);
        }
        self.now_ms += i64::try_from(seconds * 1000).unwrap();
    }

    async fn pass(&mut self) {
        self.sweeper.contexts(self.now_ms).await.unwrap();
        let referenced = self.sweeper.records_pass(self.now_ms).await.unwrap();
        self.sweeper.blobs_pass(&referenced, self.ran).await.unwrap();
    }

    async fn upload(&self, content: u8) -> BlobRef {
        let mut writer = self.blobs.create().await.unwrap();
        writer.write(Bytes::from(vec![content])).await.unwrap();
        let (sha256, size_bytes) = writer.finish(None).await.unwrap();
        BlobRef { sha256, size_bytes }
    }

    async fn put(&self, name: &str, content: BlobRef) {
        let kind = BinaryType::Wheel;
        let record = BinaryRecord { name: name.into(), kind, content, uploaded_ms: self.now_ms, principal: "p".into() };
        self.records.put_binary(&record, None).await.unwrap();
    }

    /// `None` when there is no such binary.
    async fn submit(&mut self, name: &str) -> Option<JobRecord> {
        let binary = self.records.binary(name).await.unwrap()?;
        self.jobs += 1;
        let job = serde_json::json!({
            "id": format!("{:08}", self.jobs), "class-path": "a.B", "context": "c", "context-id": "c", "attempt": 1,
            "state": "STARTED", "started-ms": self.now_ms, "binaries": [], "principal": "p",
        });
        let mut job: JobRecord = serde_json::from_value(job).unwrap();
        let content = binary.record.content;
        job.binaries = vec![BinaryUse { name: name.into(), kind: BinaryType::Wheel, content, uploaded: true }];
        self.records.submit(&job, "{}", self.attachment, &[(name.into(), binary.version)], None).await.unwrap();
        Some(job)
    }

    async fn end(&self, job: &JobRecord, outcome: Outcome, log: Option<BlobRef>) {
        let (ended, result) = job.ended(outcome, log, self.now_ms);
        self.records.end(&ended, result.as_deref()).await.unwrap();
    }

    async fn has(&self, blob: &BlobRef) -> bool {
        self.blobs.size(&blob.sha256).await.unwrap().is_some()
    }

    /// Content that a record refers to and that is not there.
    async fn missing(&self) -> Vec<String> {
        let mut contents: Vec<String> =
            self.records.binaries().await.unwrap().into_iter().map(|binary| binary.content.sha256).collect();
        for job in self.records.jobs_before(None, 10_000).await.unwrap() {
            contents.extend(super::contents(&job.record).map(str::to_owned));
        }
        let mut missing = Vec::new();
        for sha256 in contents {
            if self.blobs.size(&sha256).await.unwrap().is_none() {
                missing.push(sha256);
            }
        }
        missing
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn the_oldest_jobs_go_with_all_their_keys_and_later_their_content() {
    let mut world = World::new(&settings(|s| s.jobs_count = 3)).await;
    let code = world.upload(0).await;
    world.put("b", code).await;
    let mut results = Vec::new();
    for content in 1..=8 {
        let job = world.submit("b").await.unwrap();
        let result = world.upload(content).await;
        world.end(&job, Outcome::FinishedLarge(result.clone()), None).await;
        results.push(result);
    }
    world.pass().await;
    let kept: Vec<String> =
        world.records.newest_jobs(10).await.unwrap().into_iter().map(|job| job.id[7..].to_owned()).collect();
    assert_eq!(kept, ["8", "7", "6"]);
    assert_eq!(count(&world.removed.jobs), 5);
    assert_eq!(world.records.newest_ended(crate::core::jobs::JobState::Finished, 10).await.unwrap().len(), 3);
    assert_eq!(world.records.job_config("00000001").await.unwrap(), None);
    world.pass().await;
    world.wait(11);
    world.pass().await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(world.has(result).await, n >= 5, "{n}");
    }
    assert_eq!((count(&world.removed.blobs), count(&world.removed.blob_bytes)), (5, 5));
    assert!(world.missing().await.is_empty());
}

#[tokio::test]
async fn unfinished_jobs_keep_their_replaced_code_and_ended_ones_do_not() {
    let mut world = World::new(&settings(|s| s.jobs_age = Some(Duration::ZERO))).await;
    let old = world.upload(1).await;
    world.put("b", old.clone()).await;
    let job = world.submit("b").await.unwrap();
    let new = world.upload(2).await;
    world.put("b", new.clone()).await;
    for _ in 0..3 {
        world.wait(11);
        world.pass().await;
    }
    assert!(world.has(&old).await && world.has(&new).await);
    world.end(&job, Outcome::Finished("1".into()), None).await;
    for _ in 0..3 {
        world.wait(11);
        world.pass().await;
    }
    assert!(!world.has(&old).await && world.has(&new).await);
    assert!(world.records.job(&job.id).await.unwrap().is_none());
}

#[tokio::test]
async fn results_and_logs_go_before_their_job() {
    let day = Duration::from_secs(86_400);
    let mut world = World::new(&settings(|s| {
        s.results_age = Some(day);
        s.logs_age = Some(2 * day);
    }))
    .await;
    let code = world.upload(0).await;
    world.put("b", code).await;
    let job = world.submit("b").await.unwrap();
    let log = world.upload(1).await;
    world.end(&job, Outcome::Finished("7".into()), Some(log.clone())).await;
    world.wait(86_401);
    world.pass().await;
    let kept = world.records.job(&job.id).await.unwrap().unwrap();
    assert_eq!((kept.result, kept.log.as_ref()), (None, Some(&log)));
    assert_eq!(world.records.job_result(&job.id).await.unwrap(), None);
    for _ in 0..3 {
        world.wait(86_401);
        world.pass().await;
    }
    assert_eq!(world.records.job(&job.id).await.unwrap().unwrap().log, None);
    assert!(!world.has(&log).await);
    assert_eq!((count(&world.removed.results), count(&world.removed.logs)), (1, 1));
}

#[tokio::test]
async fn logs_of_lost_attempts_are_kept_like_others_and_go_with_them() {
    let mut world = World::new(&settings(|s| s.logs_age = Some(Duration::from_secs(100)))).await;
    let code = world.upload(0).await;
    world.put("b", code).await;
    let job = world.submit("b").await.unwrap();
    let lost = world.upload(1).await;
    let waits = job.lost("n", "gone", Some(lost.clone()), world.now_ms);
    world.records.retry(&waits).await.unwrap();
    for _ in 0..3 {
        world.wait(1000);
        world.pass().await;
    }
    assert!(world.has(&lost).await, "however long the job takes");
    let last = world.upload(2).await;
    world.end(&waits.again(2, world.now_ms), Outcome::Finished("7".into()), Some(last.clone())).await;
    world.wait(50);
    world.pass().await;
    assert!(world.has(&lost).await && world.has(&last).await);
    for _ in 0..3 {
        world.wait(100);
        world.pass().await;
    }
    let kept = world.records.job(&job.id).await.unwrap().unwrap();
    assert_eq!((kept.logs().count(), kept.attempts.len()), (0, 1));
    assert!(!world.has(&lost).await && !world.has(&last).await);
    assert_eq!(count(&world.removed.logs), 1);
}

#[tokio::test]
async fn an_ended_context_goes_with_its_name_and_a_newer_of_that_name_keeps_it() {
    let mut world = World::new(&settings(|s| s.contexts_age = Some(Duration::from_secs(5)))).await;
    let make = |id: &str, name: &str| {
        let context = serde_json::json!({
            "id": id, "name": name, "kind": "python", "state": "RUNNING", "started-ms": 0, "settings": "{}",
            "max-jobs": 8, "principal": "p", "attempt": 1, "secret-hash": "",
        });
        serde_json::from_value::<crate::core::contexts::ContextRecord>(context).unwrap()
    };
    for (id, name) in [("1", "gone"), ("2", "again")] {
        let mut context = make(id, name);
        world.records.create_context(&context, None).await.unwrap();
        context.state = crate::core::contexts::ContextState::Finished;
        context.ended_ms = Some(0);
        world.records.update_context(&context).await.unwrap();
    }
    world.records.create_context(&make("3", "again"), None).await.unwrap();
    world.wait(6);
    world.pass().await;
    assert!(world.records.context_named("gone").await.unwrap().is_none());
    assert_eq!(world.records.context_named("again").await.unwrap().unwrap().id, "3");
    let left: Vec<String> =
        world.records.contexts_after(None, 10).await.unwrap().into_iter().map(|context| context.id).collect();
    assert_eq!(left, ["3", "c"]);
    assert_eq!(count(&world.removed.contexts), 2);
}

#[tokio::test]
async fn a_binary_without_user_goes_and_one_that_a_job_uses_stays() {
    let age = Duration::from_secs(100);
    let mut world = World::new(&settings(|s| s.binaries_unused_age = Some(age))).await;
    for (content, name) in [(1, "idle"), (2, "used"), (3, "running")] {
        let content = world.upload(content).await;
        world.put(name, content).await;
    }
    world.submit("running").await.unwrap();
    world.wait(60);
    let job = world.submit("used").await.unwrap();
    world.end(&job, Outcome::Finished("1".into()), None).await;
    world.wait(60);
    world.pass().await;
    let names: Vec<String> = world.records.binaries().await.unwrap().into_iter().map(|binary| binary.name).collect();
    assert_eq!(names, ["running", "used"]);
}

#[tokio::test]
async fn content_that_an_end_waits_to_refer_to_is_held_however_long_the_store_is_away() {
    let mut world = World::new(&settings(|_| {})).await;
    let result = world.upload(1).await;
    let held = world.records.hold([result.sha256.as_str()]);
    for _ in 0..5 {
        world.wait(100);
        world.pass().await;
    }
    assert!(world.has(&result).await);
    drop(held);
    for _ in 0..2 {
        world.wait(100);
        world.pass().await;
    }
    assert!(!world.has(&result).await);
}

impl World {
    /// A job that ended, and whose callback waits.
    async fn called_back(&mut self, name: &str) -> JobRecord {
        let job = self.submit(name).await.unwrap();
        let job = JobRecord { callback: Some("http://h/x".into()), ..job };
        self.end(&job, Outcome::Finished("7".into()), None).await;
        job
    }

    async fn callback_becomes(&self, id: &str, state: CallbackState) {
        let before = self.records.callback(id).await.unwrap().unwrap();
        let after = CallbackRecord { state, ..before.record.clone() };
        self.records.callback_attempted(id, &before, &after).await.unwrap();
    }

    async fn replay(&self, id: &str) {
        let job = self.records.versioned_job(id).await.unwrap().unwrap();
        let before = self.records.callback(id).await.unwrap().unwrap();
        self.records.callback_replay(&job, &before, &before.record.replayed(9)).await.unwrap();
    }

    async fn settled(&self, id: &str) -> Settled {
        let job = self.records.versioned_job(id).await.unwrap().unwrap();
        Settled { job, callback: Some(self.records.callback(id).await.unwrap().unwrap().version) }
    }
}

#[tokio::test]
async fn while_its_callback_waits_a_job_stays_with_its_result() {
    for change in [
        (|s| s.jobs_age = Some(Duration::ZERO)) as fn(&mut crate::config::Retention),
        |s| s.jobs_count = 1,
        |s| s.results_age = Some(Duration::ZERO),
    ] {
        let mut world = World::new(&settings(change)).await;
        let code = world.upload(0).await;
        world.put("b", code).await;
        let (waits, done) = (world.called_back("b").await, world.called_back("b").await);
        world.callback_becomes(&done.id, CallbackState::GivenUp).await;
        world.called_back("b").await;
        let result = async |world: &World, id: &str| world.records.job_result(id).await.unwrap();
        world.wait(1);
        world.pass().await;
        assert_eq!(result(&world, &waits.id).await.as_deref(), Some("7"));
        assert!(world.records.callback(&waits.id).await.unwrap().is_some());
        assert_eq!(result(&world, &done.id).await, None);
        world.callback_becomes(&waits.id, CallbackState::Delivered).await;
        world.pass().await;
        assert_eq!(result(&world, &waits.id).await, None);
    }
}

#[tokio::test]
async fn what_is_replayed_between_look_and_commit_stays_and_the_rest_goes() {
    let mut world = World::new(&settings(|_| {})).await;
    let code = world.upload(0).await;
    world.put("b", code).await;
    let mut read = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let job = world.called_back("b").await;
        world.callback_becomes(&job.id, CallbackState::Delivered).await;
        read.push(world.settled(&job.id).await);
        ids.push(job.id);
    }
    world.replay(&ids[1]).await;
    let trims = read.iter().map(|of| Trimmed { of: of.clone(), result: true, log: false }).collect();
    assert_eq!(world.records.trim_jobs(trims).await, Ok(2));
    let read = vec![world.settled(&ids[0]).await, read.swap_remove(1), world.settled(&ids[2]).await];
    assert_eq!(world.records.remove_jobs(read).await, Ok(2));
    let left = world.records.jobs_before(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|job| &job.record.id).collect::<Vec<_>>(), [&ids[1]]);
    assert_eq!(world.records.job_result(&ids[1]).await.unwrap().as_deref(), Some("7"));
}

#[derive(Debug, Clone)]
enum Step {
    Upload(u8),
    /// The record of the newest upload.
    Put(u8),
    Delete(u8),
    Submit(u8),
    /// The driver of some job brings a result of this content, as uploads or as a refresh of what is there.
    Bring(usize, u8),
    /// The end of some job whose result was brought.
    End(usize),
    Wait(u64),
    /// References are read.
    Read,
    /// Content is looked at, with the references that were read last.
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_u8).prop_map(Step::Upload),
        2 => (0..2_u8).prop_map(Step::Put),
        1 => (0..2_u8).prop_map(Step::Delete),
        2 => (0..2_u8).prop_map(Step::Submit),
        2 => (0..8_usize, 0..4_u8).prop_map(|(job, content)| Step::Bring(job, content)),
        2 => (0..8_usize).prop_map(Step::End),
        3 => (1..9_u64).prop_map(Step::Wait),
        3 => Just(Step::Read),
        3 => Just(Step::Sweep),
    ]
}

/// What is on its way to its record: no longer than `AGE` after its upload.
struct Brought {
    content: BlobRef,
    at: Duration,
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::new(&settings(|s| {
        s.jobs_count = 4;
        s.jobs_age = Some(Duration::from_secs(30));
    }))
    .await;
    let mut uploaded: Option<Brought> = None;
    let mut running: Vec<JobRecord> = Vec::new();
    let mut brought: BTreeMap<String, Brought> = BTreeMap::new();
    let mut read: Option<Referenced> = None;
    for step in steps {
        match step {
            Step::Upload(content) => {
                uploaded = Some(Brought { content: world.upload(content).await, at: world.now });
            }
            Step::Put(name) => {
                let fresh = uploaded.take().filter(|upload| world.now - upload.at < AGE);
                if let Some(upload) = fresh {
                    world.put(&name.to_string(), upload.content).await;
                }
            }
            Step::Delete(name) => drop(world.records.delete_binary(&name.to_string(), None).await),
            Step::Submit(name) => running.extend(world.submit(&name.to_string()).await),
            Step::Bring(job, content) => {
                let Some(job) = running.get(job) else { continue };
                let sha256 = crate::jobs::context::secret_hash(std::str::from_utf8(&[content]).unwrap());
                let content = match world.blobs.refresh(&sha256).await.unwrap() {
                    Some(size_bytes) => BlobRef { sha256, size_bytes },
                    None => world.upload(content).await,
                };
                brought.insert(job.id.clone(), Brought { content, at: world.now });
            }
            Step::End(job) => {
                if job >= running.len() {
                    continue;
                }
                let job = running.swap_remove(job);
                match brought.remove(&job.id).filter(|result| world.now - result.at < AGE) {
                    Some(result) => world.end(&job, Outcome::FinishedLarge(result.content), None).await,
                    None => world.end(&job, Outcome::Finished("1".into()), None).await,
                }
            }
            Step::Wait(seconds) => world.wait(seconds),
            Step::Read => {
                read = Some(world.sweeper.records_pass(world.now_ms).await.unwrap());
                world.in_pass = true;
            }
            Step::Sweep => {
                if let Some(referenced) = read.take() {
                    world.sweeper.blobs_pass(&referenced, world.ran).await.unwrap();
                    world.in_pass = false;
                }
            }
        }
        prop_assert!(world.missing().await.is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_content_that_a_record_refers_to(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(steps))?;
    }
}
