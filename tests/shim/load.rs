//! What a shim costs. Not run with the others: `cargo test --release --test shim -- --ignored --nocapture`.

use std::fs;

use doyen::runtime::clock;
use futures::{SinkExt, StreamExt};
use serde_json::json;

use crate::server::Server;
use crate::shim::{Shim, spec};

const JOBS: usize = 200_000;
const AT_ONCE: usize = 64;

/// Says `accepted` and `finished` for each run, as fast as Python can.
const DRIVER: &str = r#"
import os, re, socket
channel = socket.socket(fileno=int(os.environ["DOYEN_DRIVER_FD"]))
channel.sendall(b'{"ready":{}}\n')
job = re.compile(rb'^\{"run":\{"job":"([^"]*)"', re.M)
rest = b""
while data := channel.recv(1 << 16):
    lines, _, rest = (rest + data).rpartition(b"\n")
    answers = [b'{"accepted":{"job":"%s"}}\n{"finished":{"job":"%s","result":1.0}}\n' % (id, id) for id in job.findall(lines)]
    channel.sendall(b"".join(answers))
"#;

fn kib(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find(|line| line.starts_with(field)).unwrap().to_owned()
}

/// User and system time in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "measures"]
async fn load() {
    let mut server = Server::start().await;
    let mut spec = spec(vec![server.url()]);
    spec.arguments = vec!["-c".into(), DRIVER.into()];
    let shim = Shim::with(spec).await;
    let pid = shim.launched.pid;
    let link = server.ready().await;
    let before = ticks(pid);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    println!("idle: {} {} {} ticks in 10 s", kib(pid, "VmRSS"), kib(pid, "RssAnon"), ticks(pid) - before);

    let (started, before) = (clock::instant(), ticks(pid));
    let (mut sender, mut receiver) = link.socket.split();
    let run = |number: usize| {
        let run = json!({"run": {"job": format!("{number:036}"), "class": "m.C", "config": {"x": 1}, "binaries": []}});
        axum::extract::ws::Message::Text(run.to_string().into())
    };
    for number in 0..AT_ONCE {
        sender.feed(run(number)).await.unwrap();
    }
    sender.flush().await.unwrap();
    let (mut ended, mut next) = (0, AT_ONCE);
    while ended < JOBS {
        let batch = receiver.by_ref().ready_chunks(256).next().await.unwrap();
        for message in batch {
            let text = message.unwrap().into_text().unwrap();
            let Some(job) = text.strip_prefix(r#"{"finished":{"job":""#) else { continue };
            ended += 1;
            let ack = format!(r#"{{"ack":{{"job":"{}"}}}}"#, &job[..36]);
            sender.feed(axum::extract::ws::Message::Text(ack.into())).await.unwrap();
            if next < JOBS {
                sender.feed(run(next)).await.unwrap();
                next += 1;
            }
        }
        sender.flush().await.unwrap();
    }
    let (seconds, used) = (clock::since(started).as_secs_f64(), ticks(pid) - before);
    println!(
        "{:.0} jobs/s, 7 messages each; {:.1} µs of CPU a job, {:.0} % of a core; {} {}",
        JOBS as f64 / seconds,
        used as f64 * 10_000.0 / JOBS as f64,
        used as f64 / seconds,
        kib(pid, "VmRSS"),
        kib(pid, "VmHWM"),
    );
}
