//! Delivers callbacks from a store on disk over HTTP to receivers of its own, for `scripts/bench`: the parts of the server
//! that callbacks pass, without the jobs. Prints one JSON object.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::adapters::outbound::HttpOutbound;
use doyen::core::jobs::{JobRecord, Outcome};
use doyen::core::keys;
use doyen::jobs::Records;
use doyen::jobs::callbacks::{Callbacks, Secrets};
use doyen::ports::{Commit, MetaStore, Write};
use doyen::runtime::{clock, random};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const CACHE_BYTES: usize = 32 << 20;
/// Commits under way at once while the outbox is filled.
const AT_ONCE: usize = 512;
/// The slow target's answer.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Args {
    /// An empty directory
    data_dir: PathBuf,
    /// Callbacks to the fast targets
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Fast targets
    #[arg(long, default_value_t = 4)]
    targets: usize,
    /// So many callbacks, among the others, go to a target that takes 5 s for each
    #[arg(long, default_value_t = 0)]
    slow: usize,
    /// Jobs end at this pace, all targets together; without it all have ended before the first delivery
    #[arg(long)]
    per_second: Option<f64>,
}

/// When each callback arrived for the first time.
#[derive(Default)]
struct Arrivals {
    at: Mutex<HashMap<String, Instant>>,
    news: Notify,
}

impl Arrivals {
    fn note(&self, id: &str) {
        self.at.lock().expect("no holder panics").entry(id.to_owned()).or_insert_with(clock::instant);
        self.news.notify_waiters();
    }

    async fn wait(&self, count: usize) {
        loop {
            let news = self.news.notified();
            if self.at.lock().expect("no holder panics").len() >= count {
                return;
            }
            news.await;
        }
    }
}

/// Its URL. With `arrivals` it is fast.
async fn receiver(arrivals: Option<Arc<Arrivals>>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, arrivals.clone()));
        }
    });
    Ok(url)
}

async fn receive(mut stream: TcpStream, arrivals: Option<Arc<Arrivals>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    while stream.read_buf(&mut input).await? > 0 {
        let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&input[..end]).into_owned();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let length: usize = header("content-length: ").parse().unwrap_or(0);
        if input.len() < end + 4 + length {
            continue;
        }
        match &arrivals {
            Some(arrivals) => arrivals.note(header("doyen-delivery: ")),
            None => tokio::time::sleep(SLOW).await,
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        input.drain(..end + 4 + length);
    }
    Ok(())
}

fn job(callback: String) -> JobRecord {
    JobRecord {
        id: random::id(),
        class_path: "bench_jobs.NoOp".into(),
        context: "bench".into(),
        context_id: random::id(),
        attempt: 1,
        started_ms: clock::unix_ms(),
        principal: "anonymous".into(),
        callback: Some(callback),
        ..JobRecord::default()
    }
}

struct Bench {
    store: Arc<EmbeddedStore>,
    records: Records,
    jobs: Vec<JobRecord>,
}

impl Bench {
    /// As if the jobs had been submitted.
    async fn submit(&self) -> anyhow::Result<()> {
        for some in self.jobs.chunks(AT_ONCE) {
            let mark = |job: &JobRecord| Write::Put(keys::job_active(&job.id), Bytes::new());
            let writes = some.iter().map(mark).collect();
            self.store.commit(Commit { preconditions: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    async fn end(records: Records, job: JobRecord) -> anyhow::Result<JobRecord> {
        let (ended, result) = job.ended(Outcome::Finished("1".into()), None, clock::unix_ms());
        records.end(&ended, result.as_deref()).await?;
        Ok(ended)
    }

    async fn end_all(&self) -> anyhow::Result<()> {
        for some in self.jobs.chunks(AT_ONCE) {
            let ends = some.iter().map(|job| Self::end(self.records.clone(), job.clone()));
            futures::future::try_join_all(ends).await?;
        }
        Ok(())
    }

    /// Each in its turn, whether or not those before are done; when its end was durable.
    async fn end_at_pace(&self, per_second: f64, callbacks: &Callbacks) -> anyhow::Result<HashMap<String, Instant>> {
        let began = clock::instant();
        let mut ending = tokio::task::JoinSet::new();
        for (number, job) in self.jobs.iter().enumerate() {
            let turn = Duration::from_secs_f64(number as f64 / per_second);
            tokio::time::sleep(turn.saturating_sub(clock::since(began))).await;
            let (records, callbacks, job) = (self.records.clone(), callbacks.clone(), job.clone());
            ending.spawn(async move {
                let ended = Self::end(records, job).await?;
                callbacks.job_ended(&ended);
                anyhow::Ok((ended.id, clock::instant()))
            });
        }
        ending.join_all().await.into_iter().collect()
    }
}

/// In milliseconds, of sorted values.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow::anyhow!("a provider is set"))?;
    let args = Args::parse();
    let directory = DataDir::open(&args.data_dir)?;
    let store = Arc::new(EmbeddedStore::open(&directory.meta(), CACHE_BYTES).context("cannot open the metadata")?);
    let records = Records::new(store.clone());
    let blobs = Arc::new(ObjectBinaryStore::open_local(&directory.blobs()).context("cannot open the binaries")?);
    let arrivals = Arc::new(Arrivals::default());
    let slow = receiver(None).await?;
    let mut fast = Vec::new();
    for _ in 0..args.targets {
        fast.push(receiver(Some(Arc::clone(&arrivals))).await?);
    }
    // Those to the slow target are spread among the others.
    let all = args.count + args.slow;
    let is_slow = |number: usize| number * args.slow / all != (number + 1) * args.slow / all;
    let url = |number| if is_slow(number) { slow.clone() } else { fast[number % fast.len()].clone() };
    let bench = Bench { store, records: records.clone(), jobs: (0..all).map(|number| job(url(number))).collect() };
    bench.submit().await?;
    let outbound = Arc::new(HttpOutbound::new(doyen::config::Security::default()));
    let start = || Callbacks::start(outbound, blobs, records, doyen::config::Callbacks::default(), Secrets::default());
    let (began, ends) = match args.per_second {
        None => {
            bench.end_all().await?;
            let began = clock::instant();
            let _callbacks = start();
            arrivals.wait(args.count).await;
            (began, HashMap::new())
        }
        Some(pace) => {
            let callbacks = start();
            let began = clock::instant();
            let ends = bench.end_at_pace(pace, &callbacks).await?;
            arrivals.wait(args.count).await;
            (began, ends)
        }
    };
    let seconds = clock::since(began).as_secs_f64();
    let at = arrivals.at.lock().expect("no holder panics");
    let waited = |(id, arrived): (&String, &Instant)| Some(arrived.saturating_duration_since(*ends.get(id)?));
    let mut took: Vec<Duration> = at.iter().filter_map(waited).collect();
    took.sort_unstable();
    let report = serde_json::json!({
        "n": at.len(),
        "seconds": seconds,
        "p50_ms": quantile(&took, 0.5),
        "p99_ms": quantile(&took, 0.99),
    });
    println!("{report}");
    Ok(())
}
