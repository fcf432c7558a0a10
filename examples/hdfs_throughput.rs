//! Uploads and downloads through the BinaryStore and by `hdfs-native` alone, by turns, for `scripts/bench stores`.
//! Prints one JSON object.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{Bytes, BytesMut};
use clap::Parser;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::config;
use doyen::ports::BinaryStore;
use doyen::runtime::{clock, random};
use futures::StreamExt;
use hdfs_native::{Client, ClientBuilder, WriteOptions};
use serde_json::json;

const CHUNK_BYTES: usize = 1 << 20;

#[derive(Parser)]
struct Args {
    /// hdfs://host:port
    url: String,
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Another content each time: the chunks differ in their first bytes.
struct Content {
    block: Bytes,
    round: u64,
    mib: usize,
}

impl Content {
    fn chunks(&self) -> impl Iterator<Item = Bytes> {
        (0..self.mib as u64).map(|number| {
            let mut chunk = BytesMut::from(&self.block[..]);
            chunk[..8].copy_from_slice(&self.round.to_be_bytes());
            chunk[8..16].copy_from_slice(&number.to_be_bytes());
            chunk.freeze()
        })
    }
}

/// What is measured, in both ways.
#[derive(Default)]
struct Times {
    bare_up: Vec<f64>,
    bare_down: Vec<f64>,
    ours_up: Vec<f64>,
    ours_down: Vec<f64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let settings =
        config::Hdfs { url: Some(args.url.clone()), path: format!("/bench/{}", random::id()), ..Default::default() };
    let store = ObjectBinaryStore::open_hdfs(&settings).await?;
    let client = ClientBuilder::new().with_url(&args.url).build()?;
    let block: Vec<u8> = (0..CHUNK_BYTES / 8).flat_map(|_| random::below(1 << 63).to_le_bytes()).collect();
    let block = Bytes::from(block);
    let mut times = Times::default();
    // The first round opens connections, and does not count.
    for round in 0..=args.rounds as u64 {
        let content = Content { block: block.clone(), round, mib: args.mib };
        let mut round_times = Times::default();
        if round % 2 == 0 {
            bare(&client, &settings.path, &content, &mut round_times).await?;
            ours(&store, &content, &mut round_times).await?;
        } else {
            ours(&store, &content, &mut round_times).await?;
            bare(&client, &settings.path, &content, &mut round_times).await?;
        }
        if round > 0 {
            times.bare_up.append(&mut round_times.bare_up);
            times.bare_down.append(&mut round_times.bare_down);
            times.ours_up.append(&mut round_times.ours_up);
            times.ours_down.append(&mut round_times.ours_down);
        }
    }
    let Times { bare_up, bare_down, ours_up, ours_down } = times;
    // MiB/s of each round.
    println!("{}", json!({ "bare_up": bare_up, "bare_down": bare_down, "ours_up": ours_up, "ours_down": ours_down }));
    Ok(())
}

fn speed(mib: usize, took: Duration) -> f64 {
    mib as f64 / took.as_secs_f64()
}

async fn bare(client: &Client, directory: &str, content: &Content, times: &mut Times) -> anyhow::Result<()> {
    let path = format!("{directory}/bare-{}", content.round);
    let began = clock::instant();
    let mut writer = client.create(&path, WriteOptions::default()).await?;
    for chunk in content.chunks() {
        writer.write_bytes(chunk).await?;
    }
    writer.close().await?;
    times.bare_up.push(speed(content.mib, clock::since(began)));
    let began = clock::instant();
    let reader = client.read(&path).await?;
    let length = reader.file_length();
    let mut packets = Box::pin(reader.read_range_stream(0, length));
    let mut read = 0;
    while let Some(packet) = packets.next().await {
        read += packet?.len();
    }
    ensure!(read == content.mib * CHUNK_BYTES, "the file has {read} bytes");
    times.bare_down.push(speed(content.mib, clock::since(began)));
    drop(packets);
    client.delete(&path, false).await?;
    Ok(())
}

async fn ours(store: &ObjectBinaryStore, content: &Content, times: &mut Times) -> anyhow::Result<()> {
    let began = clock::instant();
    let mut writer = store.create().await?;
    for chunk in content.chunks() {
        writer.write(chunk).await?;
    }
    let (sha256, _) = writer.finish(None).await.context("cannot finish the upload")?;
    times.ours_up.push(speed(content.mib, clock::since(began)));
    let began = clock::instant();
    let (mut reader, _) = store.read(&sha256, 0, None).await?;
    let mut read = 0;
    while let Some(chunk) = reader.next().await {
        read += chunk?.len();
    }
    ensure!(read == content.mib * CHUNK_BYTES, "the blob has {read} bytes");
    times.ours_down.push(speed(content.mib, clock::since(began)));
    store.delete(&sha256).await?;
    Ok(())
}
