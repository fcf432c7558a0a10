//! Figures, for a release build: `cargo test --release --test it bench -- --ignored --nocapture --test-threads 1`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doyen::adapters::archive::{ArchiveLimits, check};
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::ports::{BinaryStore, Commit, MetaStore, Write};
use doyen::runtime::clock::{instant, since};
use futures::TryStreamExt;
use futures::future::join_all;

const CACHE: usize = 32 << 20;

fn record(key: String) -> Commit {
    Commit { preconditions: vec![], writes: vec![Write::Put(key, Bytes::from(vec![7; 1000]))] }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), times[times.len() - 1]);
}

/// How long each of `count` runs takes.
async fn timed<F: Future>(what: &str, count: usize, mut run: impl FnMut(usize) -> F) {
    let mut times = Vec::new();
    for n in 0..count {
        let start = instant();
        run(n).await;
        times.push(since(start));
    }
    report(what, times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bench_commits() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let mut file = File::create(directory.path().join("raw")).unwrap();
    let mut times = Vec::new();
    for _ in 0..300 {
        let start = instant();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        times.push(since(start));
    }
    report("append 4 KiB + fdatasync", times);

    let start = instant();
    let store = EmbeddedStore::open(&directory.path().join("meta.redb"), CACHE).unwrap();
    println!("create an empty store: {:?}", since(start));
    timed("durable commit of 1 kB, 1 client", 1000, |n| store.commit(record(format!("one/{n:08}")))).await;
    for clients in [64, 256] {
        let start = instant();
        let done = join_all((0..clients).map(|client| {
            let store = &store;
            async move {
                let mut done = 0u64;
                while since(start) < Duration::from_secs(3) {
                    store.commit(record(format!("{clients}/{client}/{done:08}"))).await.unwrap();
                    done += 1;
                }
                done
            }
        }));
        let done: u64 = done.await.into_iter().sum();
        println!("{clients} clients: {:.0} commits/s", done as f64 / since(start).as_secs_f64());
    }
    drop(store);
    let start = instant();
    drop(EmbeddedStore::open(&directory.path().join("meta.redb"), CACHE).unwrap());
    println!("open and close after a clean close: {:?}", since(start));
}

async fn reads(store: &Arc<EmbeddedStore>, keys: usize) {
    timed("  get", 2000, |n| {
        let key = format!("job/{:08}", n * 7919 % keys);
        async move { store.get(&key).await.unwrap().unwrap() }
    })
    .await;
    timed("  get by spawn_blocking", 2000, |n| {
        let (key, store) = (format!("job/{:08}", n * 7919 % keys), store.clone());
        async move {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(store.get(&key)).unwrap().unwrap()).await.unwrap()
        }
    })
    .await;
    for limit in [1, 50, 100, 101, 1000] {
        timed(&format!("  newest {limit} of all"), 500, |_| store.range("job/", None, true, limit)).await;
    }
    timed("  50 from the middle on", 500, |n| {
        let after = format!("job/{:08}", n * 7919 % keys);
        async move { store.range("job/", Some(&after), false, 50).await.unwrap() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bench_million_records() {
    const KEYS: usize = 1_000_000;
    let directory = tempfile::tempdir_in(".").unwrap();
    let file = directory.path().join("meta.redb");
    let store = Arc::new(EmbeddedStore::open(&file, CACHE).unwrap());
    for keys in [1000, KEYS] {
        let start = instant();
        for thousand in (if keys == KEYS { 1 } else { 0 })..keys / 1000 {
            let put = |n| Write::Put(format!("job/{:08}", thousand * 1000 + n), Bytes::from(vec![7; 500]));
            store.commit(Commit { preconditions: vec![], writes: (0..1000).map(put).collect() }).await.unwrap();
        }
        println!("{keys} keys, written in {:?}, {} MB", since(start), file.metadata().unwrap().len() >> 20);
        reads(&store, keys).await;
    }
    timed("  durable commit beside them", 300, |n| store.commit(record(format!("one/{n:08}")))).await;
    // What a killed process leaves: the file as it is while the store is open.
    let killed = directory.path().join("killed.redb");
    std::fs::copy(&file, &killed).unwrap();
    let start = instant();
    let store = EmbeddedStore::open(&killed, CACHE).unwrap();
    println!("open after a kill: {:?}", since(start));
    assert_eq!(store.range("job/", None, true, 1).await.unwrap()[0].key, format!("job/{:08}", KEYS - 1));
}

fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn upload(store: &ObjectBinaryStore, chunk: &Bytes, count: usize) -> (String, u64) {
    let mut writer = store.create().await.unwrap();
    for _ in 0..count {
        writer.write(chunk.clone()).await.unwrap();
    }
    writer.finish(None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bench_blobs() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let store = ObjectBinaryStore::open_local(directory.path()).unwrap();
    for size in [1000, 100_000, 1 << 20, 2 << 20] {
        timed(&format!("put of {size} bytes"), 300, |n| {
            let mut content = vec![7; size];
            content[..8].copy_from_slice(&n.to_be_bytes());
            let (store, content) = (&store, Bytes::from(content));
            async move { upload(store, &content, 1).await }
        })
        .await;
    }
    let chunk = Bytes::from(vec![3; 64 << 10]);
    let before = memory_kib("VmRSS");
    let start = instant();
    let (sha256, size) = upload(&store, &chunk, (1 << 30) / chunk.len()).await;
    let rate = |start: Instant| (size >> 20) as f64 / since(start).as_secs_f64();
    println!("1 GiB up: {:.0} MiB/s, peak memory +{} KiB", rate(start), memory_kib("VmHWM") - before);
    let start = instant();
    let (mut reader, _) = store.read(&sha256, 0, None).await.unwrap();
    let mut read = 0;
    while let Some(chunk) = reader.try_next().await.unwrap() {
        read += chunk.len() as u64;
    }
    assert_eq!(read, size);
    println!("1 GiB down: {:.0} MiB/s, peak memory +{} KiB", rate(start), memory_kib("VmHWM") - before);
}

#[test]
#[ignore = "a measurement"]
fn bench_archives() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ArchiveLimits { max_unpacked_bytes: 4 << 30, max_entries: 100_000 };
    for entries in [300, 100_000] {
        let path = directory.path().join(entries.to_string());
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        for n in 0..entries {
            writer.start_file(format!("package/part{n}.py"), zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"x = 1\n").unwrap();
        }
        writer.finish().unwrap();
        let start = instant();
        check(&path, limits).unwrap();
        println!("{entries} entries: {:?}", since(start));
    }
    for path in std::env::var("ARCHIVES").unwrap_or_default().split_whitespace() {
        let start = instant();
        let answer = check(Path::new(path), limits);
        println!("{path}: {:?} {:?}", since(start), answer.map_err(|error| error.to_string()));
    }
}
