//! Packing over stores in memory: what is packed, found, listed and removed, and what becomes of it when a pass is cut off.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64};

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::core::binaries::BlobRef;
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::history::tests::job as ended;
use crate::core::jobs::{JobState, ResultPlace};
use crate::core::keys;
use crate::core::timeline::Timeline;
use crate::jobs::records::Trimmed;
use crate::jobs::records::history::JobSince;
use crate::jobs::retention::{Removed, Sweeper};
use crate::ports::{
    BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Changes, Commit, CommitError, Entry, MetaStore,
    ReadError, Revision, Stamp, Write,
};

/// A store that takes so many commits more, as a server does that is killed at one of them.
struct Mortal {
    store: MemoryStore,
    left: AtomicI64,
    /// The last one is done, and nobody is told.
    done: AtomicBool,
}

impl Default for Mortal {
    fn default() -> Self {
        Self { store: MemoryStore::default(), left: AtomicI64::new(i64::MAX), done: AtomicBool::default() }
    }
}

#[async_trait]
impl MetaStore for Mortal {
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 {
            return self.store.commit(commit).await;
        }
        if left == 0 && self.done.load(Ordering::Relaxed) {
            self.store.commit(commit).await?;
        }
        Err(CommitError::Unknown("killed".into()))
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        self.store.get(key).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        down: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.store.range(prefix, after, down, limit).await
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        self.store.changes(cursor).await
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        self.store.revision().await
    }
}

/// Blobs that may be away.
#[derive(Default)]
struct Blobs {
    blobs: MemoryBlobs,
    away: AtomicBool,
}

impl Blobs {
    fn there(&self) -> Result<&MemoryBlobs, BlobError> {
        if self.away.load(Ordering::Relaxed) { Err(BlobError::Unavailable("away".into())) } else { Ok(&self.blobs) }
    }
}

#[async_trait]
impl BinaryStore for Blobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.there()?.create().await
    }

    async fn read(&self, sha256: &str, offset: u64, length: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        self.there()?.read(sha256, offset, length).await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.there()?.size(sha256).await
    }

    async fn delete(&self, sha256: &str) -> Result<(), BlobError> {
        self.there()?.delete(sha256).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.there()?.list(after, limit).await
    }

    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError> {
        self.there()?.stat(sha256).await
    }

    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.there()?.refresh(sha256).await
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError> {
        self.there()?.delete_unchanged(sha256, stamp).await
    }
}

const LATER: i64 = 1_000_000_000;
const CALLED: u32 = 3;

struct World {
    store: Arc<Mortal>,
    blobs: Arc<Blobs>,
    records: Records,
    settings: crate::config::History,
}

/// All that is told of jobs.
type Told = Vec<(JobRecord, Revision, Option<String>, Option<String>, Timeline, Option<CallbackRecord>)>;

impl World {
    /// With so many jobs, of which the newest `recent` stay records.
    async fn with(jobs: u32, recent: u64, segment_jobs: usize) -> Self {
        let (store, blobs) = (Arc::new(Mortal::default()), Arc::new(Blobs::default()));
        let settings = crate::config::History { recent, segment_jobs, ..Default::default() };
        let world = Self { records: Self::started(&store, &blobs), store, blobs, settings };
        for id in 0..jobs {
            world.has_ended(&world.example(id).await, id).await;
        }
        world
    }

    fn started(store: &Arc<Mortal>, blobs: &Arc<Blobs>) -> Records {
        let blobs = Arc::clone(blobs) as Arc<dyn BinaryStore>;
        Records::new(Arc::clone(store) as Arc<dyn MetaStore>).over_segments(blobs, 1 << 20)
    }

    /// Every state, results in both places, logs; one called back.
    async fn example(&self, id: u32) -> JobRecord {
        let states = [JobState::Finished, JobState::Finished, JobState::Error, JobState::Finished, JobState::Killed];
        let mut job = ended(id, states[id as usize % 5]);
        if job.state == JobState::Finished {
            let large = id % 5 == 3;
            job.result = Some(if large { ResultPlace::Blob(self.upload(&job.id).await) } else { ResultPlace::Inline });
            job.log = Some(self.upload(&format!("log of {id}")).await);
        }
        job.callback = (id == CALLED).then(|| "http://h/x".into());
        job
    }

    async fn upload(&self, content: &str) -> BlobRef {
        let mut writer = self.blobs.create().await.unwrap();
        writer.write(Bytes::copy_from_slice(content.as_bytes())).await.unwrap();
        let (sha256, size_bytes) = writer.finish(None).await.unwrap();
        BlobRef { sha256, size_bytes }
    }

    async fn has_ended(&self, job: &JobRecord, id: u32) {
        let put = |key: String, value: String| Write::Put(key, value.into());
        let mut writes = vec![put(keys::job_active(&job.id), String::new())];
        writes.push(put(keys::job_config(&job.id), format!("{{n: {id}}}")));
        writes.push(put(keys::job_timeline(&job.id), format!("{{\"marks\":[[\"received\",{id}]]}}")));
        self.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
        let inline = (job.result == Some(ResultPlace::Inline)).then(|| format!("[{id}]"));
        self.records.end(job, inline.as_deref()).await.unwrap();
        if job.callback.is_some() {
            self.delivered(&job.id).await;
        }
    }

    async fn delivered(&self, id: &str) {
        let waiting = self.records.callback(id).await.unwrap().unwrap();
        let after = CallbackRecord { state: CallbackState::Delivered, ..waiting.record.clone() };
        self.records.callback_attempted(id, &waiting, &after).await.unwrap();
    }

    async fn pack(&self) -> Result<usize, PassError> {
        let segments = Arc::clone(self.records.segments().unwrap());
        Packer::new(self.records.clone(), segments, &self.settings).pass(LATER).await
    }

    /// Each job by its id, after the lists were found to agree with that.
    async fn told(&self, jobs: u32) -> Told {
        let mut all = Told::new();
        for id in (0..jobs).rev().map(|id| format!("{id:08}")) {
            let found = self.records.versioned_job(&id).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
            let (config, result) =
                (self.records.job_config(&id).await.unwrap(), self.records.job_result(&id).await.unwrap());
            let callback = self.records.callback(&id).await.unwrap().map(|found| found.record);
            let timeline = self.records.timeline(&id).await.unwrap().0;
            all.push((found.record, found.version, config, result, timeline, callback));
        }
        for limit in [1, 3, jobs as usize / 2, jobs as usize, 1000] {
            let listed = self.records.newest_jobs(limit).await.unwrap();
            assert!(listed.iter().eq(all.iter().map(|told| &told.0).take(limit)), "{limit}: {listed:?}");
            for state in [JobState::Finished, JobState::Error, JobState::Killed] {
                let listed = self.records.newest_ended(state, limit).await.unwrap();
                let expected = all.iter().map(|told| &told.0).filter(|job| job.state == state).take(limit);
                assert!(listed.iter().eq(expected), "{limit} {state:?}: {listed:?}");
            }
        }
        all
    }

    async fn records_left(&self) -> Vec<String> {
        let entries = self.store.range("job", None, false, 100_000).await.unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }

    async fn has(&self, blob: &BlobRef) -> bool {
        self.blobs.size(&blob.sha256).await.unwrap().is_some()
    }

    /// Passes of retention until content without a reference is gone.
    async fn retain(&self, now_ms: i64, change: impl Fn(&mut crate::config::Retention)) -> Arc<Removed> {
        let mut settings = crate::config::Retention {
            jobs_age: None,
            unreferenced_age: Duration::from_secs(10),
            ..Default::default()
        };
        change(&mut settings);
        let removed = Arc::<Removed>::default();
        let blobs = Arc::clone(&self.blobs) as Arc<dyn BinaryStore>;
        let mut sweeper = Sweeper::new(self.records.clone(), blobs, &settings, Arc::clone(&removed));
        for seconds in [0, 20, 40] {
            sweeper.pass(now_ms, Duration::from_secs(seconds)).await.unwrap();
        }
        removed
    }
}

#[tokio::test]
async fn old_jobs_leave_the_records_and_are_told_and_listed_as_before() {
    let world = World::with(37, 5, 10).await;
    let before = world.told(37).await;
    assert_eq!(world.pack().await.unwrap(), 30);
    assert_eq!(world.told(37).await, before);
    let left = world.records_left().await;
    assert!(left.iter().all(|key| keys::leaf(key) >= "00000030"), "{left:?}");
    // Not enough for another segment.
    assert_eq!(world.pack().await.unwrap(), 0);
    assert_eq!(world.records.catalog().await.unwrap().segments().len(), 3);
    let again = World::started(&world.store, &world.blobs);
    assert_eq!(World { records: again, ..world }.told(37).await, before);
}

#[tokio::test]
async fn what_has_just_ended_runs_or_is_to_be_told_is_not_packed() {
    let world = World::with(20, 1, 10).await;
    let segments = Arc::clone(world.records.segments().unwrap());
    let packer = Packer::new(world.records.clone(), segments, &world.settings);
    // They ended at 10 ms each.
    assert_eq!(packer.pass(60_000 + 80).await.unwrap(), 0);
    let settled = world.records.callback("00000003").await.unwrap().unwrap();
    let job = world.records.versioned_job("00000003").await.unwrap().unwrap();
    world.records.callback_replay(&job, &settled, &settled.record.replayed(1)).await.unwrap();
    assert_eq!(world.pack().await.unwrap(), 10);
    assert!(world.records_left().await.contains(&"jobs/00000003".to_owned()));
    world.told(20).await;
}

#[tokio::test]
async fn a_pass_that_is_cut_off_at_any_commit_loses_nothing_tells_nothing_twice_and_is_taken_up() {
    let mut commits = 0;
    loop {
        let mut complete = true;
        for done in [false, true] {
            let world = World::with(23, 2, 10).await;
            let before = world.told(23).await;
            world.store.left.store(commits, Ordering::Relaxed);
            world.store.done.store(done, Ordering::Relaxed);
            complete &= world.pack().await.is_ok();
            world.store.left.store(i64::MAX, Ordering::Relaxed);
            let world = World { records: World::started(&world.store, &world.blobs), ..world };
            assert_eq!(world.told(23).await, before, "{commits} {done}");
            world.pack().await.unwrap();
            assert_eq!(world.told(23).await, before, "{commits} {done}");
            let left = world.records_left().await;
            assert!(left.iter().all(|key| keys::leaf(key) >= "00000020"), "{commits} {done}: {left:?}");
            let catalog = world.records.catalog().await.unwrap();
            let packed: u64 = catalog.segments().iter().map(|segment| segment.manifest.jobs).sum();
            assert_eq!(packed, 20, "{commits} {done}: packed twice");
        }
        if complete {
            break;
        }
        commits += 1;
    }
    assert!(commits >= 6, "{commits}");
}

#[tokio::test]
async fn a_job_that_changed_after_it_was_packed_is_told_as_its_record_has_it() {
    let world = World::with(15, 2, 10).await;
    // Cut off when the segment is in the catalog, and nothing is cleared.
    world.store.left.store(1, Ordering::Relaxed);
    assert!(world.pack().await.is_err());
    world.store.left.store(i64::MAX, Ordering::Relaxed);
    let id = "00000000";
    let job = world.records.versioned_job(id).await.unwrap().unwrap();
    let of = Settled { job, callback: None };
    assert_eq!(world.records.trim_jobs(vec![Trimmed { of, result: true, log: false }]).await, Ok(1));
    world.pack().await.unwrap();
    assert_eq!(world.records.job(id).await.unwrap().unwrap().result, None);
    assert!(world.records_left().await.contains(&format!("jobs/{id}")));
    assert_eq!(world.records.newest_jobs(100).await.unwrap().len(), 15);
    // It is packed once more, later, and the younger segment holds.
    for id in 15..27 {
        world.has_ended(&world.example(id).await, id).await;
    }
    world.pack().await.unwrap();
    assert!(!world.records_left().await.contains(&format!("jobs/{id}")));
    let jobs = world.records.newest_jobs(100).await.unwrap();
    assert_eq!((jobs.len(), &jobs[26].id, &jobs[26].result), (27, &id.to_owned(), &None));
    assert_eq!(world.records.job(id).await.unwrap().unwrap().result, None);
}

#[tokio::test]
async fn a_packed_job_that_is_to_be_called_back_again_is_a_record_until_it_was() {
    let world = World::with(23, 2, 10).await;
    let before = world.told(23).await;
    world.pack().await.unwrap();
    let id = format!("{CALLED:08}");
    assert!(world.records.unpack_job(&id).await.unwrap());
    assert!(!world.records.unpack_job(&id).await.unwrap());
    assert!(!world.records.unpack_job("no such job").await.unwrap());
    let after = world.told(23).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.0, &before.2, &before.3, &before.5), (&after.0, &after.2, &after.3, &after.5));
    }
    let job = world.records.versioned_job(&id).await.unwrap().unwrap();
    let callback = world.records.callback(&id).await.unwrap().unwrap();
    world.records.callback_replay(&job, &callback, &callback.record.replayed(9)).await.unwrap();
    assert_eq!(world.records.outbox_count().await, Ok(1));
    assert_eq!(world.pack().await.unwrap(), 0);
    // Retention leaves it, whatever becomes of its segment.
    world.retain(LATER, |r| r.jobs_count = 1).await;
    let kept: Vec<String> = world.records.newest_jobs(100).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(kept, ["00000022".to_owned(), id.clone()]);
    assert!(world.records.job_result(&id).await.is_ok());
    world.delivered(&id).await;
    world.retain(LATER, |r| r.jobs_count = 1).await;
    assert!(world.records.job(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_job_that_was_packed_many_times_counts_once_for_retention() {
    let world = World::with(6, 2, 1).await;
    world.pack().await.unwrap();
    for _ in 0..5 {
        assert!(world.records.unpack_job("00000000").await.unwrap());
        assert_eq!(world.pack().await.unwrap(), 1);
    }
    let removed = world.retain(LATER, |r| r.jobs_count = 6).await;
    assert_eq!((removed.jobs.load(Ordering::Relaxed), world.told(6).await.len()), (0, 6));
    world.retain(LATER, |r| r.jobs_count = 4).await;
    let left: Vec<String> = world.records.newest_jobs(10).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(left, ["00000005", "00000004", "00000003", "00000002"]);
}

#[tokio::test]
async fn an_old_job_that_is_a_record_again_takes_nobodys_place() {
    let world = World::with(9, 1, 2).await;
    world.pack().await.unwrap();
    assert!(world.records.unpack_job("00000000").await.unwrap() && world.records.unpack_job("00000001").await.unwrap());
    for most in [8, 7, 5] {
        world.retain(LATER, |r| r.jobs_count = most).await;
        let left: Vec<String> = world.records.newest_jobs(10).await.unwrap().into_iter().map(|job| job.id).collect();
        let newest = (9 - most as u32..9).rev().map(|id| format!("{id:08}"));
        assert!(newest.clone().all(|id| left.contains(&id)), "{most}: {left:?}");
    }
    // Packed once more, they go.
    world.pack().await.unwrap();
    world.retain(LATER, |r| r.jobs_count = 5).await;
    let left: Vec<String> = world.records.newest_jobs(10).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(left, ["00000008", "00000007", "00000006", "00000005", "00000004"]);
}

#[tokio::test]
async fn a_log_that_comes_late_is_found_with_its_job() {
    let world = World::with(23, 2, 10).await;
    world.pack().await.unwrap();
    let log = world.upload("late").await;
    world.records.add_log("00000002", log.clone()).await.unwrap();
    assert_eq!(world.records.job("00000002").await.unwrap().unwrap().log, Some(log));
    assert_eq!(world.records.newest_jobs(100).await.unwrap().len(), 23);
}

#[tokio::test]
async fn content_of_packed_jobs_stays_as_long_as_they_do() {
    let world = World::with(23, 2, 10).await;
    world.pack().await.unwrap();
    let before = world.told(23).await;
    let contents = |told: &Told| -> Vec<BlobRef> {
        let of = |job: &JobRecord| match &job.result {
            Some(ResultPlace::Blob(blob)) => vec![Some(blob.clone()), job.log.clone()],
            _ => vec![job.log.clone()],
        };
        told.iter().flat_map(|told| of(&told.0)).flatten().collect()
    };
    let garbage = world.upload("garbage").await;
    world.retain(LATER, |_| {}).await;
    assert!(!world.has(&garbage).await);
    assert_eq!(world.told(23).await, before);
    for blob in contents(&before) {
        assert!(world.has(&blob).await);
    }
    // The newest 15 stay: one segment whole, and half of the other.
    let removed = world.retain(LATER, |r| r.jobs_count = 15).await;
    assert_eq!(removed.jobs.load(Ordering::Relaxed), 8);
    let jobs = world.records.newest_jobs(100).await.unwrap();
    assert!(jobs.iter().eq(before.iter().map(|told| &told.0).take(15)));
    let (kept, gone) = before.split_at(15);
    for blob in contents(&kept.to_vec()) {
        assert!(world.has(&blob).await);
    }
    for blob in contents(&gone.to_vec()) {
        assert!(!world.has(&blob).await);
    }
    // By age: those that ended at 190 ms or before.
    world.retain(10_195, |r| r.jobs_age = Some(Duration::from_secs(10))).await;
    let left: Vec<String> = world.records.newest_jobs(100).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(left, ["00000022", "00000021", "00000020"]);
    assert!(world.records.catalog().await.unwrap().segments().is_empty());
}

#[tokio::test]
async fn results_and_logs_of_packed_jobs_go_by_their_own_age() {
    let world = World::with(23, 2, 10).await;
    world.pack().await.unwrap();
    let before = world.told(23).await;
    // Of the jobs that ended before 100 ms.
    let removed = world
        .retain(10_095, |r| {
            r.results_age = Some(Duration::from_secs(10));
            r.logs_age = Some(Duration::from_secs(10));
        })
        .await;
    assert_eq!((removed.results.load(Ordering::Relaxed), removed.logs.load(Ordering::Relaxed)), (6, 6));
    for (job, _, config, result, _, _) in world.told(23).await {
        let old = job.id.as_str() < "00000010";
        let then = before.iter().find(|told| told.0.id == job.id).unwrap();
        assert_eq!(&config, &then.2);
        if old {
            assert_eq!((&job.result, &job.log, result), (&None, &None, None), "{}", job.id);
        } else {
            assert_eq!((&job, &result), (&then.0, &then.3));
        }
    }
    assert!(world.has(before[0].0.log.as_ref().or(before[1].0.log.as_ref()).unwrap()).await);
}

#[tokio::test]
async fn while_segments_are_away_recent_jobs_are_listed_and_told_and_old_ones_are_unavailable() {
    let world = World::with(43, 12, 10).await;
    world.pack().await.unwrap();
    let world = World { records: World::started(&world.store, &world.blobs), ..world };
    world.blobs.away.store(true, Ordering::Relaxed);
    assert_eq!(world.records.newest_jobs(13).await.unwrap().len(), 13);
    assert!(world.records.job("00000042").await.unwrap().is_some());
    let unavailable = |error: StoreError| matches!(error, StoreError::Unavailable(_));
    assert!(unavailable(world.records.newest_jobs(14).await.unwrap_err()));
    assert!(unavailable(world.records.job("00000001").await.unwrap_err()));
    assert!(unavailable(world.records.job_config("00000001").await.unwrap_err()));
    assert!(world.pack().await.is_ok());
    world.blobs.away.store(false, Ordering::Relaxed);
    world.told(43).await;
}

#[tokio::test]
async fn of_a_segment_that_is_gone_jobs_are_an_error_the_others_are_listed_and_no_content_is_removed() {
    let world = World::with(43, 2, 10).await;
    world.pack().await.unwrap();
    let catalog = world.records.catalog().await.unwrap();
    let lost = &catalog.segments()[1].manifest;
    world.blobs.delete(&lost.segment.sha256).await.unwrap();
    let world = World { records: World::started(&world.store, &world.blobs), ..world };
    assert!(matches!(world.records.job(&lost.first).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(world.records.newest_jobs(100).await.unwrap().len(), 33);
    let garbage = world.upload("garbage").await;
    world.retain(LATER, |_| {}).await;
    assert!(world.has(&garbage).await);
    // Its time comes all the same.
    world.retain(LATER, |r| r.jobs_count = 5).await;
    assert_eq!(world.records.newest_jobs(100).await.unwrap().len(), 5);
    assert!(!world.has(&garbage).await);
}

#[tokio::test]
async fn lists_and_lookups_read_only_the_blocks_that_they_need() {
    let world = World::with(430, 20, 100).await;
    world.pack().await.unwrap();
    let fresh = || World::started(&world.store, &world.blobs);
    let reads = |records: &Records| records.segments().unwrap().counts.reads.load(Ordering::Relaxed);
    let records = fresh();
    records.newest_jobs(30).await.unwrap();
    records.job("00000429").await.unwrap();
    assert_eq!(reads(&records), 0);
    // An index and a block.
    records.newest_jobs(33).await.unwrap();
    assert_eq!(reads(&records), 2);
    records.newest_jobs(33).await.unwrap();
    assert_eq!(reads(&records), 2);
    let records = fresh();
    records.job("00000005").await.unwrap();
    assert_eq!(reads(&records), 2);
    records.job("00000006").await.unwrap();
    assert_eq!(reads(&records), 2);
    records.job_config("00000006").await.unwrap();
    assert_eq!(reads(&records), 3);
}

#[tokio::test]
async fn that_a_job_was_packed_is_no_news_for_who_has_heard_of_its_end() {
    let world = World::with(23, 2, 10).await;
    let heard = world.records.revision().await.unwrap();
    world.pack().await.unwrap();
    let since = async |id: &str, heard: Revision| world.records.job_since(id, heard).await.unwrap();
    assert!(matches!(since("00000001", heard).await, JobSince::Packed));
    // It had not ended then.
    assert!(matches!(since("00000001", Revision(1)).await, JobSince::Is(_)));
    assert!(matches!(since("00000022", heard).await, JobSince::Is(_)));
    assert!(matches!(since("no such job", heard).await, JobSince::Gone));
}

/// Two packers at once, as two servers would be before one knows that it is not the owner any more.
#[tokio::test]
async fn two_that_pack_at_once_pack_nothing_twice_and_lose_nothing() {
    let world = World::with(43, 2, 10).await;
    let before = world.told(43).await;
    let other = World {
        records: World::started(&world.store, &world.blobs),
        store: Arc::clone(&world.store),
        blobs: Arc::clone(&world.blobs),
        settings: world.settings.clone(),
    };
    let errors = Mutex::new(Vec::new());
    for _ in 0..10 {
        let (one, two) = futures::join!(world.pack(), other.pack());
        errors.lock().unwrap().extend([one, two].into_iter().filter_map(Result::err));
        assert_eq!(world.told(43).await, before);
    }
    for error in errors.into_inner().unwrap() {
        assert!(matches!(error, PassError::Records(StoreError::Conflict(_))), "{error}");
    }
    assert_eq!(other.told(43).await, before);
    assert!(world.records_left().await.iter().all(|key| keys::leaf(key) >= "00000040"));
}
