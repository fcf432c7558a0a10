//! Load on a server from many clients at once, as `scripts/bench` needs it: keep-alive HTTP at little cost of CPU,
//! since the load shares the machine with what it measures. Prints one JSON object.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use doyen::runtime::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one request again and again.
#[derive(Parser)]
struct Args {
    /// Where the server listens: 127.0.0.1:8090
    server: String,
    method: String,
    /// With the query
    path: String,
    #[arg(default_value = "")]
    body: String,
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Requests that are answered with 200 or 202, over all clients
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Further ones before, which do not count
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// After 503 a client tries again in so many milliseconds
    #[arg(long, default_value_t = 5)]
    retry_ms: u64,
    /// Wait until no job is active any more, and tell when that was
    #[arg(long)]
    until_ended: bool,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    async fn connect(server: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.with_context(|| format!("cannot reach {server}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::with_capacity(16 << 10) })
    }

    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        self.input.clear();
        let head = loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text = std::str::from_utf8(&self.input[..head])?;
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status in the answer")?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let end = head + length.context("an answer without Content-Length")?;
        while self.input.len() < end {
            self.fill().await?;
        }
        Ok(Answer { status, body: self.input[head..end].to_vec() })
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.input).await? > 0, "the server closed the connection");
        Ok(())
    }
}

fn request(server: &str, method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// What all clients share.
struct Load {
    request: Vec<u8>,
    retry: Duration,
    left: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    /// One client's part; gives how long each request took, refusals and pauses included.
    async fn run(&self, client: &mut Client) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        while self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let began = clock::instant();
            while !self.accepted(client).await? {
                self.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(self.retry).await;
            }
            took.push(clock::since(began));
        }
        Ok(took)
    }

    async fn accepted(&self, client: &mut Client) -> anyhow::Result<bool> {
        let answer = client.ask(&self.request).await?;
        match answer.status {
            503 => Ok(false),
            200 | 202 => {
                let failed = b"\"status\":\"ERROR\"";
                let is_failed = self.request.starts_with(b"POST") && contains(&answer.body, failed);
                ensure!(!is_failed, "a job failed: {}", String::from_utf8_lossy(&answer.body));
                Ok(true)
            }
            other => bail!("status {other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

async fn run(load: Arc<Load>, clients: Vec<Client>) -> anyhow::Result<(Vec<Client>, Vec<Duration>)> {
    let tasks = clients.into_iter().map(|mut client| {
        let load = Arc::clone(&load);
        tokio::spawn(async move { load.run(&mut client).await.map(|took| (client, took)) })
    });
    let (mut clients, mut all) = (Vec::new(), Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (client, took) = task.await??;
        clients.push(client);
        all.extend(took);
    }
    all.sort_unstable();
    Ok((clients, all))
}

/// Until the server knows of no job that has not ended.
async fn until_ended(server: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(server).await?;
    for state in ["STARTED", "RUNNING"] {
        let ask = request(server, "GET", &format!("/jobs?limit=1&status={state}"), "");
        while !client.ask(&ask).await?.body.starts_with(b"[]") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

fn load(args: &Args, count: u64) -> Arc<Load> {
    Arc::new(Load {
        request: request(&args.server, &args.method, &args.path, &args.body),
        retry: Duration::from_millis(args.retry_ms),
        left: AtomicU64::new(count),
        refused: AtomicU64::new(0),
    })
}

/// In milliseconds, of sorted values.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut clients = Vec::new();
    for _ in 0..args.clients {
        clients.push(Client::connect(&args.server).await?);
    }
    (clients, _) = run(load(&args, args.warm_up), clients).await?;
    if args.until_ended {
        until_ended(&args.server).await?;
    }
    let counted = load(&args, args.count);
    let began: Instant = clock::instant();
    let (_clients, took) = run(Arc::clone(&counted), clients).await?;
    let answered = clock::since(began);
    if args.until_ended {
        until_ended(&args.server).await?;
    }
    let ended = clock::since(began);
    let report = serde_json::json!({
        "n": took.len(),
        "refused": counted.refused.load(Ordering::Relaxed),
        "answered_seconds": answered.as_secs_f64(),
        "ended_seconds": ended.as_secs_f64(),
        "p50_ms": quantile(&took, 0.5),
        "p99_ms": quantile(&took, 0.99),
    });
    println!("{report}");
    Ok(())
}
