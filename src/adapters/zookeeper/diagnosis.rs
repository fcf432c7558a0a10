//! Why no server was reached, in words: each is asked itself.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::link::Trouble;

const PATIENCE: Duration = Duration::from_secs(2);
/// The answer to `srvr` is shorter.
const MAX_ANSWER_BYTES: u64 = 4096;

pub(super) async fn explain(servers: &[String], trouble: &Trouble) -> String {
    let each = join_all(servers.iter().map(|server| async move { format!("{server} {}", ask(server).await) })).await;
    format!("{} ({trouble})", each.join("; "))
}

async fn ask(server: &str) -> String {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return format!("cannot be connected to: {error}"),
        Err(_) => return format!("is not connected to within {PATIENCE:?}"),
    };
    let mut answer = Vec::new();
    let talk = async {
        // A word that every ZooKeeper answers unless its configuration forbids it.
        stream.write_all(b"srvr").await?;
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
    };
    let ended = timeout(PATIENCE, talk).await;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains("Zookeeper version") {
        "is a ZooKeeper that serves: does it accept this client?".into()
    } else if answer.contains("not currently serving") {
        "is a ZooKeeper without a quorum".into()
    } else if answer.contains("not in the whitelist") {
        "is a ZooKeeper, and does not say whether it serves".into()
    } else if ended.is_err() {
        "takes connections and does not answer".into()
    } else {
        "is not a ZooKeeper".into()
    }
}
