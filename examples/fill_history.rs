//! Writes a history of ended jobs into a store, by the stores that the server uses, for `scripts/bench`: into a data
//! directory, or below a chroot of ZooKeeper. No server may have it open. Prints the id of a job in its middle.
//!
//! With `--hdfs`, all but the newest jobs go at once into segments there, made as the packer makes them.

mod measured;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::config;
use doyen::core::contexts::{ContextRecord, ContextState};
use doyen::core::history::builder::Builder;
use doyen::core::history::{Bundle, Details, Stored};
use doyen::core::jobs::Outcome;
use doyen::jobs::Records;
use doyen::ports::{BinaryStore, Revision};
use doyen::runtime::clock;
use measured::{CONFIG, context, job, open};

/// Commits under way at once: as many as the store's queue takes.
const AT_ONCE: u64 = 1024;

#[derive(Parser)]
struct Args {
    /// A data directory, or zookeeper://host:port,…/chroot
    store: String,
    /// Ended jobs to add
    jobs: u64,
    /// hdfs://host:port/path, where segments of old jobs go
    #[arg(long)]
    hdfs: Option<String>,
}

async fn binaries(url: &str) -> anyhow::Result<Arc<dyn BinaryStore>> {
    let slash = url.rfind('/').context("no path is named")?;
    let settings =
        config::Hdfs { url: Some(url[..slash].into()), path: url[slash..].into(), ..config::Hdfs::default() };
    Ok(Arc::new(ObjectBinaryStore::open_hdfs(&settings).await?))
}

/// So many old jobs in segments of `size`. The id of the middle one.
async fn pack(records: &Records, context: &ContextRecord, jobs: u64, size: u64) -> anyhow::Result<String> {
    let segments = records.segments().context("there is no store of binaries")?;
    let mut middle = String::new();
    let stored = |text: String| Stored { version: 1, value: text.into() };
    for begin in (0..jobs).step_by(size as usize) {
        let mut builder = Builder::default();
        for number in begin..jobs.min(begin + size) {
            let (ended, result) = job(context).ended(Outcome::Finished("1".into()), None, clock::unix_ms());
            let details =
                Details { config: Some(CONFIG.into()), result: result.map(Bytes::from), ..Details::default() };
            let record = stored(serde_json::to_string(&ended)?);
            builder.add(&Bundle { id: ended.id.clone(), record, details }, &ended);
            if number == jobs / 2 {
                middle = ended.id;
            }
        }
        let mut finished = builder.finish().context("a segment has jobs")?;
        let segment = segments.store(std::mem::take(&mut finished.bytes)).await?;
        records.add_segment(&finished.manifest(segment, false)).await?;
    }
    Ok(middle)
}

/// What the server writes for a job, at its submission and at its end. The id of the middle one.
async fn write(
    records: Records,
    context: Arc<ContextRecord>,
    attachment: Revision,
    jobs: u64,
) -> anyhow::Result<String> {
    let mut middle = String::new();
    for number in 0..jobs {
        let job = job(&context);
        records.submit(&job, CONFIG, attachment, &[], None).await?;
        let (ended, result) = job.ended(Outcome::Finished("1".into()), None, clock::unix_ms());
        records.end(&ended, result.as_deref()).await?;
        if number == jobs / 2 {
            middle = job.id;
        }
    }
    Ok(middle)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (store, _directory) = open(&args.store).await?;
    let mut records = Records::new(store);
    let history = config::History::default();
    let mut packed = 0;
    if let Some(url) = &args.hdfs {
        records = records.over_segments(binaries(url).await?, history.cache_bytes);
        packed = args.jobs.saturating_sub(history.recent);
    }
    let (mut context, attachment) = context(&records).await?;
    let shared = Arc::new(context.clone());
    let began = clock::instant();
    let mut some =
        if packed == 0 { String::new() } else { pack(&records, &context, packed, history.segment_jobs as u64).await? };
    let tasks = (0..AT_ONCE).map(|task| {
        let jobs = args.jobs - packed;
        let jobs = jobs / AT_ONCE + u64::from(task < jobs % AT_ONCE);
        tokio::spawn(write(records.clone(), Arc::clone(&shared), attachment, jobs))
    });
    for task in tasks.collect::<Vec<_>>() {
        let middle = task.await??;
        if some.is_empty() {
            some = middle;
        }
    }
    // So that a server does not wait for its driver.
    context.state = ContextState::Finished;
    context.ended_ms = Some(clock::unix_ms());
    records.update_context(&context).await?;
    eprintln!("{} jobs in {:.1} s", args.jobs, clock::since(began).as_secs_f64());
    println!("{some}");
    Ok(())
}
