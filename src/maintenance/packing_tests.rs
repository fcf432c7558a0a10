//! Imports that pack: over stores in memory, cut off at any commit and said again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::history::tests::job;
use crate::core::jobs::{JobRecord, JobState, ResultPlace};
use crate::core::timeline::Timeline;
use crate::jobs::history::Packer;
use crate::ports::{Changes, Commit, CommitError, Revision, Write};

const RULE: Rule = Rule { recent: 4, segment_jobs: 5, settled_ms: 0 };
const JOBS: u32 = 30;
/// Its callback waits.
const CALLED: u32 = 7;

/// A store that takes so many commits more, as an import does that is killed at one of them.
struct Mortal {
    store: MemoryStore,
    left: AtomicI64,
}

#[async_trait]
impl MetaStore for Mortal {
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return self.store.commit(commit).await;
        }
        Err(CommitError::Unavailable("killed".into()))
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        self.store.get(key).await
    }

    async fn range(&self, prefix: &str, after: Option<&str>, down: bool, most: usize) -> Result<Vec<Entry>, ReadError> {
        self.store.range(prefix, after, down, most).await
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        self.store.changes(cursor).await
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        self.store.revision().await
    }
}

struct Nothing;

#[async_trait]
impl Belongings for Nothing {
    async fn belong_to(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

struct World {
    stores: Stores,
    meta: Arc<Mortal>,
    directory: tempfile::TempDir,
}

type Told = Vec<(JobRecord, Option<String>, Option<String>, Timeline, Option<CallbackRecord>)>;

impl World {
    fn new(packing: Option<Rule>) -> Self {
        let meta = Arc::new(Mortal { store: MemoryStore::default(), left: AtomicI64::new(i64::MAX) });
        let directory = tempfile::tempdir().unwrap();
        let stores = Stores {
            meta: Arc::clone(&meta) as _,
            blobs: Arc::new(MemoryBlobs::default()),
            meta_place: "here".into(),
            blobs_place: "there".into(),
            commit_bytes: 1 << 20,
            znodes: None,
            belongings: Arc::new(Nothing),
            packing,
            scratch: directory.path().to_owned(),
        };
        Self { stores, meta, directory }
    }

    /// Every state; results, timelines; callbacks that have come to their end, and one that waits.
    async fn with_jobs() -> Self {
        let world = Self::new(None);
        let states = [JobState::Finished, JobState::Error, JobState::Finished, JobState::Killed];
        for id in 0..JOBS {
            let mut job = job(id, states[id as usize % 4]);
            job.result = (job.state == JobState::Finished).then_some(ResultPlace::Inline);
            job.callback = (id % 7 == 0).then(|| "http://h/x".into());
            world.put(&keys::job(&job.id), &serde_json::to_vec(&job).unwrap()).await;
            world.put(&keys::job_ended(job.state.name(), &job.id), b"").await;
            world.put(&keys::job_config(&job.id), format!("{{n: {id}}}").as_bytes()).await;
            world.put(&keys::job_timeline(&job.id), format!("{{\"marks\":[[\"received\",{id}]]}}").as_bytes()).await;
            if job.result.is_some() {
                world.put(&keys::job_result(&job.id), b" [1, 2] ").await;
            }
            if job.callback.is_some() {
                let mut record = CallbackRecord::new("h:80".into(), 1);
                record.state = if id == CALLED { CallbackState::Waiting } else { CallbackState::Delivered };
                world.put(&keys::job_callback(&job.id), &serde_json::to_vec(&record).unwrap()).await;
                if id == CALLED {
                    world.put(&keys::outbox("h:80", record.due_ms, &job.id), b"").await;
                }
            }
        }
        world
    }

    async fn put(&self, key: &str, value: &[u8]) {
        let writes = vec![Write::Put(key.into(), Bytes::copy_from_slice(value))];
        self.stores.meta.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    }

    fn records(&self) -> Records {
        self.stores.records().over_segments(Arc::clone(&self.stores.blobs), 1 << 20)
    }

    async fn pack(&self) {
        let records = self.records();
        let settings = crate::config::History {
            recent: RULE.recent,
            segment_jobs: RULE.segment_jobs,
            settled_after: std::time::Duration::ZERO,
            ..Default::default()
        };
        let segments = Arc::clone(records.segments().unwrap());
        Packer::new(records, segments, &settings).pass(1_000_000).await.unwrap();
    }

    /// An export of it, in a file.
    async fn exported(&self) -> PathBuf {
        let (mut bytes, options) = (Vec::new(), ExportOptions { as_lost: false, without_unreadable: false });
        export(&self.stores, options, &mut bytes, &mut |_| {}, &|_| {}).await.unwrap();
        let file = self.directory.path().join("file");
        std::fs::write(&file, bytes).unwrap();
        file
    }

    async fn imports(&self, file: &Path) -> Result<Imported, ToolError> {
        import(&self.stores, Source::File(file), &|_| {}).await
    }

    /// Each job once, as it is looked up and listed.
    async fn told(&self) -> Told {
        let (records, mut all) = (self.records(), Told::new());
        for id in (0..JOBS).rev().map(|id| format!("{id:08}")) {
            let job = records.versioned_job(&id).await.unwrap().unwrap_or_else(|| panic!("{id} is lost")).record;
            let (config, result) = (records.job_config(&id).await.unwrap(), records.job_result(&id).await.unwrap());
            let callback = records.callback(&id).await.unwrap().map(|found| found.record);
            all.push((job, config, result, records.timeline(&id).await.unwrap().0, callback));
        }
        let listed = records.newest_jobs(1000).await.unwrap();
        assert!(listed.iter().eq(all.iter().map(|told| &told.0)), "{listed:?}");
        all
    }

    /// Ids of jobs that are records.
    async fn left(&self) -> Vec<String> {
        let entries = self.stores.meta.range(keys::JOBS, None, false, 1000).await.unwrap();
        entries.iter().map(|entry| keys::leaf(&entry.key).to_owned()).collect()
    }

    /// The ids of each segment.
    async fn segments(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for segment in self.records().catalog().await.unwrap().segments().iter().rev() {
            let bundles = self.stores.segments().bundles(segment).await.unwrap();
            all.push(bundles.into_iter().map(|bundle| bundle.id).collect());
        }
        all
    }

    async fn is_sound(&self) {
        let mut found = Vec::new();
        let mut tell = |finding: &Finding, _| {
            found.push(finding.clone());
            Ok(())
        };
        let options = CheckOptions { repair: false, content: true };
        check(&self.stores, options, &mut tell, &|_| {}).await.unwrap();
        assert_eq!(found, []);
        let stats = stats(&self.stores).await.unwrap();
        assert_eq!(stats.jobs.values().sum::<u64>(), u64::from(JOBS), "{stats:?}");
    }
}

#[tokio::test]
async fn an_import_packs_what_the_packer_would_into_the_same_segments_and_all_is_told_as_before() {
    let (from, to) = (World::with_jobs().await, World::new(Some(RULE)));
    let before = from.told().await;
    let imported = to.imports(&from.exported().await).await.unwrap();
    assert_eq!((imported.packed_jobs, imported.segments), (25, 5));
    assert_eq!(to.told().await, before);
    to.is_sound().await;
    from.pack().await;
    assert_eq!((to.left().await, to.segments().await), (from.left().await, from.segments().await));
    assert_eq!(from.left().await.len(), 5);

    // And back, into a store where nothing is packed.
    let back = World::new(None);
    back.imports(&to.exported().await).await.unwrap();
    assert_eq!(back.told().await, before);
    back.is_sound().await;
}

#[tokio::test]
async fn an_import_that_is_cut_off_at_any_commit_goes_on_and_packs_nothing_twice() {
    let from = World::with_jobs().await;
    let (before, file) = (from.told().await, from.exported().await);
    let whole = World::new(Some(RULE));
    whole.imports(&file).await.unwrap();
    let (left, segments) = (whole.left().await, whole.segments().await);
    let mut cuts = 0;
    loop {
        let to = World::new(Some(RULE));
        to.meta.left.store(cuts, Ordering::Relaxed);
        let done = to.imports(&file).await;
        to.meta.left.store(i64::MAX, Ordering::Relaxed);
        if done.is_ok() {
            break;
        }
        to.imports(&file).await.unwrap();
        assert_eq!((to.left().await, to.segments().await), (left.clone(), segments.clone()), "cut at {cuts}");
        assert_eq!(to.told().await, before, "cut at {cuts}");
        to.is_sound().await;
        cuts += 1;
    }
    assert!(cuts > 7, "{cuts}");
}

#[tokio::test]
async fn an_import_goes_on_with_other_settings() {
    let from = World::with_jobs().await;
    let (before, file) = (from.told().await, from.exported().await);
    for then in [None, Some(Rule { recent: 1, segment_jobs: 2, ..RULE })] {
        for cut in 0..11 {
            let mut to = World::new(Some(RULE));
            to.meta.left.store(cut, Ordering::Relaxed);
            let done = to.imports(&file).await;
            to.meta.left.store(i64::MAX, Ordering::Relaxed);
            to.stores.packing = then;
            if done.is_err() {
                to.imports(&file).await.unwrap();
            }
            assert_eq!(to.told().await, before, "cut at {cut}, then {then:?}");
            to.is_sound().await;
        }
    }
}

#[tokio::test]
async fn segments_that_are_in_the_file_are_gone_on_with_also_where_one_was_not_cleared() {
    for is_cut in [false, true] {
        let from = World::with_jobs().await;
        let before = from.told().await;
        // Killed behind the manifest of the first segment, or of none.
        from.meta.left.store(if is_cut { 1 } else { 6 }, Ordering::Relaxed);
        let records = from.records();
        let settings = crate::config::History { recent: 12, segment_jobs: 4, ..Default::default() };
        let segments = Arc::clone(records.segments().unwrap());
        assert!(Packer::new(records, segments, &settings).pass(1_000_000).await.is_err());
        from.meta.left.store(i64::MAX, Ordering::Relaxed);
        assert_eq!(from.told().await, before);
        from.is_sound().await;
        let to = World::new(Some(RULE));
        to.imports(&from.exported().await).await.unwrap();
        assert_eq!(to.told().await, before);
        to.is_sound().await;
        // A server goes on, and each job counts once.
        to.pack().await;
        assert_eq!(to.told().await, before);
        let counted: u64 =
            to.records().catalog().await.unwrap().segments().iter().map(|it| it.manifest.counted()).sum();
        assert_eq!(counted + to.left().await.len() as u64, u64::from(JOBS));
    }
}

#[tokio::test]
async fn what_does_not_read_or_belongs_to_no_job_is_moved_as_it_is() {
    let (from, to) = (World::with_jobs().await, World::new(Some(RULE)));
    from.put("jobs/00000003", b"{").await;
    from.put("job-configs/00000001x", b"{}").await;
    from.put(&keys::job_ended("KILLED", "00000005"), b"").await;
    from.put("jobs/00000009", &serde_json::to_vec(&json!({"id": "other"})).unwrap()).await;
    to.imports(&from.exported().await).await.unwrap();
    for key in [
        "jobs/00000003",
        "job-configs/00000003",
        "job-configs/00000001x",
        "jobs-ended/KILLED/00000005",
        "jobs/00000009",
    ] {
        let (there, here) = (from.stores.meta.get(key).await.unwrap(), to.stores.meta.get(key).await.unwrap());
        assert_eq!(there.unwrap().value, here.unwrap().value, "{key}");
    }
}
