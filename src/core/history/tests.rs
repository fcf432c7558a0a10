//! Segments read back what was put into them, whatever it is, and tell of damage; lists over them are those of all jobs.

use bytes::Bytes;
use proptest::prelude::*;

use super::builder::{Builder, Finished};
use super::catalog::{Catalog, Manifest, Segment};
use super::merge::{Merge, Need};
use super::segment::{Block, Index, block_of, bundles, details, records, references};
use super::trim::{Due, due, kept};
use super::*;
use crate::core::binaries::{BinaryType, BlobRef};
use crate::core::jobs::{BinaryUse, JobRecord, ResultPlace};
use crate::core::retention::{Fate, Policy, shortened};

pub(crate) fn job(id: u32, state: JobState) -> JobRecord {
    let fields = serde_json::json!({
        "id": format!("{id:08}"), "class-path": "a.B", "context": "c", "context-id": "2", "attempt": 1, "state": state,
        "started-ms": id, "ended-ms": i64::from(id) * 10, "binaries": [], "principal": "p",
    });
    serde_json::from_value(fields).unwrap()
}

fn bundle(job: &JobRecord, details: Details) -> Bundle {
    let value = serde_json::to_vec(job).unwrap().into();
    Bundle { id: job.id.clone(), record: Stored { version: u64::from(job.id.len() as u32), value }, details }
}

fn finished(jobs: &[(JobRecord, Details)]) -> Finished {
    let mut builder = Builder::default();
    for (job, details) in jobs {
        builder.add(&bundle(job, details.clone()), job);
    }
    builder.finish().unwrap()
}

fn stored(finished: &Finished) -> Manifest {
    finished.manifest(BlobRef { sha256: "ab".repeat(32), size_bytes: finished.bytes.len() as u64 }, false)
}

fn part<'a>(bytes: &'a [u8], place: &Place) -> &'a [u8] {
    &bytes[place.at as usize..][..place.length as usize]
}

fn opened(bytes: &[u8], manifest: &Manifest) -> Index {
    Index::open(&manifest.index, part(bytes, &manifest.index)).unwrap()
}

fn any_bytes() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
}

fn any_details() -> impl Strategy<Value = Details> {
    let callback = proptest::option::of((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..100)));
    (any_bytes(), any_bytes(), any_bytes(), callback).prop_map(|(config, result, timeline, callback)| Details {
        config,
        result,
        timeline,
        callback: callback.map(|(version, value)| Stored { version, value: value.into() }),
    })
}

const ENDS: [JobState; 3] = [JobState::Finished, JobState::Error, JobState::Killed];

fn any_jobs(most: usize) -> impl Strategy<Value = Vec<(JobRecord, Details)>> {
    proptest::collection::btree_map(0..1000_u32, (0..3_usize, any_details()), 1..most)
        .prop_map(|jobs| jobs.into_iter().map(|(id, (state, details))| (job(id, ENDS[state]), details)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_put_into_a_segment_is_read_back(jobs in any_jobs(300)) {
        let finished = finished(&jobs);
        let manifest = stored(&finished);
        let expected: Vec<Bundle> = jobs.iter().map(|(job, details)| bundle(job, details.clone())).collect();
        let segment = Bytes::from(finished.bytes.clone());
        prop_assert_eq!(bundles(&segment, &manifest.index).unwrap(), expected.clone());
        let index = opened(&segment, &manifest);
        for bundle in &expected {
            let block = block_of(&index.records, &bundle.id).unwrap();
            let found = records(&block.place, part(&segment, &block.place)).unwrap();
            prop_assert!(found.iter().any(|packed| packed.id == bundle.id && packed.record == bundle.record));
            let block = block_of(&index.details, &bundle.id).unwrap();
            let found = details(&block.place, part(&segment, &block.place)).unwrap();
            prop_assert!(found.contains(&(bundle.id.clone(), bundle.details.clone())));
        }
        prop_assert_eq!((&manifest.first, &manifest.last), (&expected[0].id, &expected[expected.len() - 1].id));
        prop_assert_eq!(manifest.jobs, expected.len() as u64);
        let counted: u64 = ENDS.iter().map(|state| manifest.states.count(*state)).sum();
        prop_assert_eq!(counted, manifest.jobs);
    }

    #[test]
    fn a_damaged_segment_is_told_or_reads_as_it_was(jobs in any_jobs(20), at in any::<prop::sample::Index>(), bits in 1..=255_u8, cut in any::<bool>()) {
        let finished = finished(&jobs);
        let manifest = stored(&finished);
        let whole = Bytes::from(finished.bytes.clone());
        let mut damaged = finished.bytes.clone();
        let at = at.index(damaged.len());
        if cut { damaged.truncate(at) } else { damaged[at] ^= bits }
        if let Ok(read) = bundles(&Bytes::from(damaged.clone()), &manifest.index) {
            prop_assert_eq!(read, bundles(&whole, &manifest.index).unwrap());
        }
        // Whatever a place says, and whatever lies there.
        let wild = Place { at: at as u64, length: damaged.len() as u32, raw_length: u32::MAX, crc: 0 };
        prop_assert!(bundles(&Bytes::from(damaged.clone()), &wild).is_err());
        prop_assert!(records(&wild, &damaged).is_err() && references(&wild, &damaged).is_err());
    }

    /// Jobs are where chance has them: in records, in segments that overlap, or in several places.
    #[test]
    fn a_list_is_that_of_all_jobs_and_reads_only_what_it_needs(
        places in proptest::collection::btree_map(0..400_u32, (0..3_usize, proptest::collection::btree_set(0..5_u64, 1..3)), 0..300),
        limit in 0..40_usize,
        wanted in proptest::option::of(0..3_usize),
    ) {
        let wanted = wanted.map(|state| ENDS[state]);
        let jobs: Vec<(JobRecord, _)> = places.into_iter().map(|(id, (state, at))| (job(id, ENDS[state]), at)).collect();
        let is_wanted = |job: &JobRecord| wanted.is_none_or(|state| job.state == state);
        let (catalog, segments) = scattered(&jobs);
        let hot = jobs.iter().filter(|(job, at)| at.contains(&0) && is_wanted(job)).rev().take(limit);
        let mut merge = Merge::new(hot.map(|(job, _)| (job.id.clone(), job.clone())).collect(), &catalog, wanted, limit);
        while let Some(need) = merge.need() {
            match need {
                Need::Index(segment) => merge.index(&opened(&segments[segment.number as usize], &segment.manifest).records),
                Need::Block(segment, block) => merge.block(read(&segments[segment.number as usize], &block, wanted)),
            }
        }
        let expected: Vec<JobRecord> = jobs.iter().rev().map(|(job, _)| job.clone()).filter(is_wanted).take(limit).collect();
        prop_assert_eq!(merge.found(), expected);
    }
}

/// Place 0 is that of records, the others are segments.
fn scattered(jobs: &[(JobRecord, std::collections::BTreeSet<u64>)]) -> (Catalog, Vec<Vec<u8>>) {
    let mut all = vec![Vec::new()];
    let mut segments = Vec::new();
    for number in 1..5 {
        let here: Vec<_> = jobs.iter().filter(|(_, at)| at.contains(&number)).collect();
        let here: Vec<_> = here.into_iter().map(|(job, _)| (job.clone(), Details::default())).collect();
        if here.is_empty() {
            all.push(Vec::new());
            continue;
        }
        let finished = finished(&here);
        segments.push(Segment { number, version: 1, manifest: stored(&finished) });
        all.push(finished.bytes);
    }
    (Catalog::new(segments), all)
}

fn read(segment: &[u8], block: &Block, wanted: Option<JobState>) -> Vec<(String, JobRecord)> {
    let all = records(&block.place, part(segment, &block.place)).unwrap().into_iter();
    let jobs = all.map(|packed| (packed.id, serde_json::from_slice::<JobRecord>(&packed.record.value).unwrap()));
    jobs.filter(|(_, job)| wanted.is_none_or(|state| job.state == state)).collect()
}

#[test]
fn a_list_that_records_fill_reads_no_segment_and_a_longer_one_the_newest_block() {
    let jobs: Vec<_> = (0..1000).map(|id| (job(id, JobState::Finished), Details::default())).collect();
    let finished = finished(&jobs);
    let catalog = Catalog::new(vec![Segment { number: 1, version: 1, manifest: stored(&finished) }]);
    let hot = |ids: std::ops::Range<u32>| ids.map(|id| (format!("{id:08}"), job(id, JobState::Finished))).collect();
    assert_eq!(Merge::new(hot(1000..1050), &catalog, None, 50).need(), None);
    assert_eq!(Merge::new(hot(1000..1050), &catalog, Some(JobState::Error), 100).need(), None);
    let mut longer: Merge<JobRecord> = Merge::new(hot(1000..1050), &catalog, None, 55);
    assert!(matches!(longer.need(), Some(Need::Index(_))));
    longer.index(&opened(&finished.bytes, &catalog.segments()[0].manifest).records);
    let Some(Need::Block(_, block)) = longer.need() else { panic!() };
    assert_eq!(block.last, "00000999");
    longer.block(read(&finished.bytes, &block, None));
    assert_eq!(longer.need(), None);
    assert_eq!(longer.found().len(), 55);
}

#[test]
fn a_list_goes_on_without_what_cannot_be_read() {
    let (old, new): (Vec<_>, Vec<_>) = (
        (0..100).map(|id| (job(id, JobState::Finished), Details::default())).collect(),
        (100..300).map(|id| (job(id, JobState::Finished), Details::default())).collect(),
    );
    let (old, new) = (finished(&old), finished(&new));
    let segment = |number, finished| Segment { number, version: 1, manifest: stored(finished) };
    let catalog = Catalog::new(vec![segment(1, &old), segment(2, &new)]);
    let bytes = |segment: &Segment| if segment.number == 1 { &old.bytes } else { &new.bytes };
    let list = |unreadable: &str| {
        let mut merge = Merge::new(Vec::new(), &catalog, None, 1000);
        while let Some(need) = merge.need() {
            match need {
                Need::Index(segment) if unreadable == "index" && segment.number == 2 => merge.skip(),
                Need::Index(segment) => merge.index(&opened(bytes(&segment), &segment.manifest).records),
                Need::Block(_, block) if unreadable == block.last => merge.skip(),
                Need::Block(segment, block) => merge.block(read(bytes(&segment), &block, None)),
            }
        }
        merge.found().len()
    };
    assert_eq!((list(""), list("index"), list("00000299")), (300, 100, 292));
}

#[test]
fn what_is_large_lies_in_blocks_of_its_own_so_that_lists_do_not_read_it() {
    let result = |n: u32| Some(Bytes::from(n.to_le_bytes().repeat(40_000)));
    let jobs: Vec<_> =
        (0..10).map(|id| (job(id, JobState::Finished), Details { result: result(id), ..Details::default() })).collect();
    let finished = finished(&jobs);
    let index = opened(&finished.bytes, &stored(&finished));
    assert_eq!((index.records.len(), index.details.len()), (1, 10));
    assert!(index.records[0].place.raw_length < 10_000);
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let mut out = Vec::new();
    let place = codec::append(&mut out, br#"{"format":2,"else":[]}"#);
    assert_eq!(Index::open(&place, &out), Err(Damaged::Newer(2)));
}

fn with_content(id: u32) -> (JobRecord, Details) {
    let blob = |n: u32| BlobRef { sha256: format!("{n:064x}").chars().rev().collect(), size_bytes: 1 };
    let uses = ["a", "b"].map(|name| BinaryUse {
        name: name.into(),
        kind: BinaryType::Wheel,
        content: blob(7),
        uploaded: name == "a",
    });
    let job = JobRecord {
        result: Some(ResultPlace::Blob(blob(id * 2 + 100))),
        log: Some(blob(id * 2 + 101)),
        binaries: uses.into(),
        ..job(id, JobState::Finished)
    };
    (job, Details::default())
}

#[test]
fn a_segment_tells_what_its_jobs_refer_to_and_use() {
    let jobs = [with_content(1), with_content(2)];
    let finished = finished(&jobs);
    let place = stored(&finished).references;
    let found = references(&place, part(&finished.bytes, &place)).unwrap();
    let mut expected: Vec<u64> =
        jobs.iter().flat_map(|(job, _)| crate::core::retention::contents(job)).filter_map(shortened).collect();
    expected.sort_unstable();
    assert_eq!(found.contents, expected);
    assert_eq!(found.contents.len(), 4);
    assert_eq!(found.uses, [("a".to_owned(), 20)]);
}

#[test]
fn retention_touches_a_segment_only_when_something_in_it_has_had_its_time() {
    let jobs = [with_content(1), with_content(2), (job(3, JobState::Finished), Details::default())];
    let manifest = stored(&finished(&jobs));
    let policy = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    };
    let none = policy(|_| {});
    let age = policy(|p| p.jobs_age_ms = Some(5));
    let (results, logs) = (policy(|p| p.results_age_ms = Some(5)), policy(|p| p.logs_age_ms = Some(5)));
    let (first, last) = (manifest.first.clone(), manifest.last.clone());
    // They ended at 10, 20 and 30 ms.
    for (policy, too_old, now_ms, expected) in [
        (&none, None, 1_000_000, Due::Keep),
        (&age, None, 15, Due::Keep),
        (&age, None, 16, Due::Rewrite),
        (&age, None, 35, Due::Rewrite),
        (&age, None, 36, Due::Drop),
        (&none, Some(""), 0, Due::Keep),
        (&none, Some(&*first), 0, Due::Rewrite),
        (&none, Some(&*last), 0, Due::Drop),
        (&results, None, 15, Due::Keep),
        (&results, None, 1000, Due::Rewrite),
        (&logs, None, 16, Due::Rewrite),
    ] {
        assert_eq!(due(policy, &manifest, too_old, now_ms), expected, "{policy:?} {too_old:?} {now_ms}");
    }
    assert_eq!(due(&age, &Manifest { clearing: true, ..manifest }, Some(&last), 1000), Due::Keep);
}

#[test]
fn a_job_that_lost_its_result_and_its_log_is_not_looked_at_again() {
    let (job, _) = with_content(1);
    let inline = JobRecord { result: Some(ResultPlace::Inline), ..job };
    let details = Details { result: Some(Bytes::from("1")), config: Some(Bytes::from("{}")), ..Details::default() };
    let trim = Fate::Trim { result: true, log: true };
    let (bundle, job) = kept(bundle(&inline, details), inline, trim).unwrap();
    assert_eq!((bundle.details.result.as_deref(), bundle.details.config.as_deref()), (None, Some(&b"{}"[..])));
    assert_eq!(serde_json::from_slice::<JobRecord>(&bundle.record.value).unwrap(), job);
    let manifest = stored(&finished(&[(job, bundle.details)]));
    assert_eq!((manifest.results_ms, manifest.logs_ms), (None, None));
}
