//! Writes a history of ended jobs into a data directory, by the stores that the server uses, for `scripts/bench`.
//! No server may have the directory open.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::core::binaries::{BinaryType, BlobRef};
use doyen::core::contexts::{Attachment, ContextRecord, ContextState};
use doyen::core::jobs::{BinaryUse, JobRecord, Outcome};
use doyen::jobs::Records;
use doyen::ports::Revision;
use doyen::runtime::{clock, random};

/// Commits under way at once: as many as the store's queue takes.
const AT_ONCE: u64 = 1024;
const CACHE_BYTES: usize = 256 << 20;

#[derive(Parser)]
struct Args {
    data_dir: PathBuf,
    /// Ended jobs to add
    jobs: u64,
}

fn context() -> ContextRecord {
    ContextRecord {
        id: random::id(),
        name: "history".into(),
        kind: "python".into(),
        state: ContextState::Running,
        started_ms: clock::unix_ms(),
        settings: "{}".into(),
        max_jobs: 1,
        principal: "anonymous".into(),
        attempt: 1,
        initialized: true,
        ..ContextRecord::default()
    }
}

fn job(context: &ContextRecord) -> JobRecord {
    let content = BlobRef { sha256: "0".repeat(64), size_bytes: 1000 };
    JobRecord {
        id: random::id(),
        class_path: "bench_jobs.NoOp".into(),
        context: context.name.clone(),
        context_id: context.id.clone(),
        attempt: 1,
        started_ms: clock::unix_ms(),
        binaries: vec![BinaryUse { name: "bench".into(), kind: BinaryType::Wheel, content, uploaded: true }],
        principal: "anonymous".into(),
        ..JobRecord::default()
    }
}

/// What the server writes for a job, at its submission and at its end.
async fn write(records: Records, context: Arc<ContextRecord>, attachment: Revision, jobs: u64) -> anyhow::Result<()> {
    for _ in 0..jobs {
        let job = job(&context);
        records.submit(&job, r#"{"input":{"string":"a b c"}}"#, attachment, &[], None).await?;
        let (ended, result) = job.ended(Outcome::Finished("1".into()), None, clock::unix_ms());
        records.end(&ended, result.as_deref()).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let directory = DataDir::open(&args.data_dir)?;
    let store = EmbeddedStore::open(&directory.meta(), CACHE_BYTES).context("cannot open the metadata")?;
    let records = Records::new(Arc::new(store));
    let mut context = context();
    records.create_context(&context, None).await?;
    let attachment = records.attach(&context.id, &Attachment { attempt: 1, node: "bench".into() }).await?;
    let shared = Arc::new(context.clone());
    let began = clock::instant();
    let tasks = (0..AT_ONCE).map(|task| {
        let jobs = args.jobs / AT_ONCE + u64::from(task < args.jobs % AT_ONCE);
        tokio::spawn(write(records.clone(), Arc::clone(&shared), attachment, jobs))
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    // So that a server does not wait for its driver.
    context.state = ContextState::Finished;
    context.ended_ms = Some(clock::unix_ms());
    records.update_context(&context).await?;
    eprintln!("{} jobs in {:.1} s", args.jobs, clock::since(began).as_secs_f64());
    Ok(())
}
