//! What one ZooKeeper takes from one client at most, and what ZooKeeperStore makes of it, for `scripts/bench stores`.
//! Prints one JSON object.

mod measured;

use std::sync::Arc;

use clap::{Parser, ValueEnum};
use doyen::jobs::Records;
use doyen::ports::{Commit, Precondition, Write};
use doyen::runtime::random;
use measured::{CONFIG, at_once, context, open, told, waiting};
use zookeeper_client::{Acls, Client, CreateMode};

/// ZooKeeper becomes slow where a znode has more children than some ten thousand.
const SHARDS: u64 = 256;

#[derive(Parser)]
struct Args {
    /// host:port
    server: String,
    what: What,
    #[arg(long, default_value_t = 1)]
    clients: u64,
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Of each value, but for those of jobs
    #[arg(long, default_value_t = 500)]
    bytes: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Znodes, by the crate alone
    Creates,
    /// Commits of one key through the store
    Commits,
    /// What the server commits for a job that waits, through the store
    Jobs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // So that what the first calls need once is not counted.
    let warm_up = (args.count / 10).max(args.clients);
    let chroot = format!("bench/{}", random::id());
    let report = match args.what {
        What::Creates => creates(&args, &chroot, warm_up).await?,
        What::Commits => commits(&args, &chroot, warm_up).await?,
        What::Jobs => jobs(&args, &chroot, warm_up).await?,
    };
    println!("{report}");
    Ok(())
}

async fn creates(args: &Args, chroot: &str, warm_up: u64) -> anyhow::Result<serde_json::Value> {
    let client = Arc::new(Client::connect(&args.server).await?);
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for part in ["warm", "counted"] {
        for shard in 0..SHARDS {
            client.mkdir(&format!("/{chroot}/{part}/{shard}"), &persistent).await?;
        }
    }
    let value = Arc::new(vec![b'x'; args.bytes]);
    let create = |part: &'static str| {
        let (client, chroot, value) = (Arc::clone(&client), chroot.to_owned(), Arc::clone(&value));
        move |number: u64| {
            let (client, value) = (Arc::clone(&client), Arc::clone(&value));
            let path = format!("/{chroot}/{part}/{}/{number}", number % SHARDS);
            async move {
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                client.create(&path, &value, &options).await?;
                Ok(())
            }
        }
    };
    at_once(args.clients, warm_up, create("warm")).await?;
    Ok(told(&at_once(args.clients, args.count, create("counted")).await?))
}

async fn commits(args: &Args, chroot: &str, warm_up: u64) -> anyhow::Result<serde_json::Value> {
    let (store, _) = open(&format!("zookeeper://{}/{chroot}", args.server)).await?;
    let value = bytes::Bytes::from(vec![b'x'; args.bytes]);
    let commit = |part: &'static str| {
        let (store, value) = (Arc::clone(&store), value.clone());
        move |number: u64| {
            let (store, key) = (Arc::clone(&store), format!("{part}/{number:032}"));
            let writes = vec![Write::Put(key.clone(), value.clone())];
            async move {
                store.commit(Commit { preconditions: vec![Precondition::Absent(key)], writes }).await?;
                Ok(())
            }
        }
    };
    at_once(args.clients, warm_up, commit("warm")).await?;
    Ok(told(&at_once(args.clients, args.count, commit("counted")).await?))
}

async fn jobs(args: &Args, chroot: &str, warm_up: u64) -> anyhow::Result<serde_json::Value> {
    let (store, _) = open(&format!("zookeeper://{}/{chroot}", args.server)).await?;
    let records = Records::new(store);
    let context = Arc::new(context(&records).await?.0);
    let submit = move |_| {
        let (records, context) = (records.clone(), Arc::clone(&context));
        async move {
            records.enqueue(&waiting(&context), CONFIG, &[], None).await?;
            Ok(())
        }
    };
    at_once(args.clients, warm_up, submit.clone()).await?;
    Ok(told(&at_once(args.clients, args.count, submit).await?))
}
