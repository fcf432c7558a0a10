//! Writes a history of ended jobs into a store, by the stores that the server uses, for `scripts/bench`: into a data
//! directory, or below a chroot of ZooKeeper. No server may have it open. Prints the id of a job in its middle.

mod measured;

use std::sync::Arc;

use clap::Parser;
use doyen::core::contexts::{ContextRecord, ContextState};
use doyen::core::jobs::Outcome;
use doyen::jobs::Records;
use doyen::ports::Revision;
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
    let records = Records::new(store);
    let (mut context, attachment) = context(&records).await?;
    let shared = Arc::new(context.clone());
    let began = clock::instant();
    let tasks = (0..AT_ONCE).map(|task| {
        let jobs = args.jobs / AT_ONCE + u64::from(task < args.jobs % AT_ONCE);
        tokio::spawn(write(records.clone(), Arc::clone(&shared), attachment, jobs))
    });
    let mut some = String::new();
    for task in tasks.collect::<Vec<_>>() {
        let middle = task.await??;
        if !middle.is_empty() {
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
