//! What the examples share that measure stores: the records that the server writes for a job, and many clients at once.

#![allow(dead_code, reason = "each example uses a part of it")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::adapters::zookeeper::{Options, ZooKeeperStore};
use doyen::core::binaries::{BinaryType, BlobRef};
use doyen::core::contexts::{Attachment, ContextRecord, ContextState};
use doyen::core::jobs::{BinaryUse, JobRecord, Queued};
use doyen::jobs::Records;
use doyen::ports::{MetaStore, Revision};
use doyen::runtime::{clock, random};
use serde_json::{Value, json};

pub const CONFIG: &str = r#"{"input":{"string":"a b c"}}"#;
const CACHE_BYTES: usize = 256 << 20;
const SESSION: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory that no server has open, or `zookeeper://host:port,…/chroot`. What is returned beside it is to be kept.
pub async fn open(place: &str) -> anyhow::Result<(Arc<dyn MetaStore>, Option<DataDir>)> {
    if let Some(rest) = place.strip_prefix("zookeeper://") {
        let (servers, chroot) = rest.split_once('/').context("no chroot is named")?;
        let servers = servers.split(',').map(str::to_owned).collect();
        let chroot = format!("/{chroot}");
        let options = Options {
            servers,
            chroot,
            session_timeout: SESSION,
            commit_timeout: PATIENCE,
            auth: None,
            tls: None,
            owner: None,
        };
        return Ok((Arc::new(ZooKeeperStore::open(options).await?), None));
    }
    let directory = DataDir::open(place.as_ref())?;
    let store = EmbeddedStore::open(&directory.meta(), CACHE_BYTES).context("cannot open the metadata")?;
    Ok((Arc::new(store), Some(directory)))
}

pub async fn context(records: &Records) -> anyhow::Result<(ContextRecord, Revision)> {
    let context = ContextRecord {
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
    };
    records.create_context(&context, None).await?;
    let attachment = records.attach(&context.id, &Attachment { attempt: 1, node: "bench".into() }).await?;
    Ok((context, attachment))
}

pub fn job(context: &ContextRecord) -> JobRecord {
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

/// As `queue=true` has it.
pub fn waiting(context: &ContextRecord) -> JobRecord {
    JobRecord { attempt: 0, queued: Some(Queued::default()), ..job(context) }
}

/// So many clients, each with one call at a time, until `count` are answered. How long each took, sorted, and all.
pub async fn at_once<F, Fut>(clients: u64, count: u64, call: F) -> anyhow::Result<(Vec<Duration>, Duration)>
where
    F: Fn(u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let began = clock::instant();
    let tasks = (0..clients).map(|_| {
        let (next, call) = (Arc::clone(&next), call.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(took);
                }
                let began = clock::instant();
                call(number).await?;
                took.push(clock::since(began));
            }
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await??);
    }
    let whole = clock::since(began);
    ensure!(!all.is_empty(), "nothing was to be done");
    all.sort_unstable();
    Ok((all, whole))
}

pub fn told((took, whole): &(Vec<Duration>, Duration)) -> Value {
    let quantile = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    json!({ "n": took.len(), "seconds": whole.as_secs_f64(), "p50_ms": quantile(0.5), "p99_ms": quantile(0.99) })
}
