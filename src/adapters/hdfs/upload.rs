//! Writing a file: parts one after the other, and closing it without waiting longer than HDFS needs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, WriteOptions};
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::faults::is_away;
use super::link::Link;

/// How often an upload begins with other DataNodes when the ones that the NameNode named are not to be reached.
const BEGINNINGS: u32 = 6;
/// Between two looks whether the NameNode knows a block; each next pause is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// For an answer that may be on its way; after it, the question is repeated.
const ANSWER: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// What HDFS did not do when writing fails.
const WRITE: &str = "take a part of a file";

#[derive(Debug)]
pub(super) struct Upload {
    link: Arc<Link>,
    path: String,
    /// None while a part is written: one that is given up halfway leaves none.
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    writer: FileWriter,
    size: usize,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.size)
    }
}

impl Upload {
    /// To a path of its own: what is there is replaced.
    pub(super) async fn begin(link: &Arc<Link>, path: String) -> Result<Self> {
        let writer = create(link, &path).await?;
        let open = Arc::new(Mutex::new(Some(Open { writer, size: 0 })));
        Ok(Self { link: Arc::clone(link), path, open })
    }
}

/// Instead of what is there: that a try left.
async fn create(link: &Link, path: &str) -> Result<FileWriter> {
    let options = || WriteOptions::default().overwrite(true);
    let create = |client: Client, path: String| async move { client.create(&path, options()).await };
    link.call("create a file", path, create).await
}

impl Open {
    async fn write(&mut self, link: &Link, path: &str, bytes: Bytes) -> Result<()> {
        // In boxes: the client's futures are so large that some of them within each other overflow a thread's stack.
        // A DataNode that hangs fails each beginning after a third of the deadline: all of them together have one.
        link.within_deadline(WRITE, Box::pin(self.write_somewhere(link, path, bytes))).await?
    }

    async fn write_somewhere(&mut self, link: &Link, path: &str, bytes: Bytes) -> Result<()> {
        let mut beginnings = if self.size == 0 { BEGINNINGS } else { 1 };
        loop {
            beginnings -= 1;
            let Err(error) = link.bounded(WRITE, Box::pin(self.writer.write_bytes(bytes.clone()))).await? else {
                break;
            };
            if beginnings == 0 || !is_away(&error) {
                return Err(link.fault(WRITE, error));
            }
            // The client does not ask for other DataNodes, and the NameNode takes a dead one for alive for ten minutes.
            self.writer = Box::pin(create(link, path)).await?;
        }
        self.size += bytes.len();
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    /// To be awaited before the next one.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (link, open, path) = (Arc::clone(&self.link), Arc::clone(&self.open), self.path.clone());
        let put = async move {
            let mut slot = open.lock().await;
            let mut open = slot.take().ok_or_else(|| link.refuse(format!("the upload to {path} was given up")))?;
            for bytes in data {
                open.write(&link, &path, bytes).await?;
            }
            *slot = Some(open);
            Ok(())
        };
        put.boxed()
    }

    /// The file is whole then, on as many DataNodes as `dfs.namenode.replication.min` says at least.
    async fn complete(&mut self) -> Result<PutResult> {
        let open = self.open.lock().await.take();
        let open = open.ok_or_else(|| self.link.refuse(format!("the upload to {} was given up", self.path)))?;
        let closed = self.link.bounded("close a file", close(&self.link, open, &self.path)).await;
        if let Err(error) = closed.flatten() {
            self.link.discard(self.path.clone());
            return Err(error);
        }
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.open.lock().await.take());
        self.link.delete(self.path.clone()).await.map(drop)
    }
}

/// The NameNode takes a file as complete once a DataNode has told it of the last block, which is some milliseconds after the
/// client heard of it; the client, if it asks too early, asks again only after 500 ms. So this looks by itself whether the
/// NameNode has heard the client's question (then it knows the size), and has it asked again, sooner. A question that was
/// granted while it was given up leaves the client's writer open for good, which it warns of (`runtime/logging.rs` leaves that out).
async fn close(link: &Link, open: Open, path: &str) -> Result<()> {
    let Open { mut writer, size } = open;
    let mut pause = FIRST_PAUSE;
    let mut asked = false;
    loop {
        let look = async {
            sleep(pause).await;
            while !asked && !knows(link, path, size).await {
                pause = (pause * 2).min(LAST_PAUSE);
                sleep(pause).await;
            }
            if !asked {
                sleep(ANSWER).await;
            }
        };
        let closed = tokio::select! {
            biased;
            closed = writer.close() => Some(closed),
            () = look => None,
        };
        match closed {
            None if !asked => (asked, pause) = (true, ANSWER),
            None => pause = (pause * 2).min(LAST_PAUSE),
            Some(Ok(())) => return Ok(()),
            // Its first question may have been answered with yes while it was given up.
            Some(Err(_)) if asked && is_closed(link, path).await => return Ok(()),
            Some(Err(error)) => return Err(link.fault("close a file", error)),
        }
    }
}

async fn knows(link: &Link, path: &str, size: usize) -> bool {
    let path = path.to_owned();
    let found = link.ask(|client| async move { client.get_file_info(&path).await }).await;
    size > 0 && found.is_ok_and(|status| status.length == size)
}

async fn is_closed(link: &Link, path: &str) -> bool {
    let path = path.to_owned();
    link.ask(|client| async move { client.recover_lease(&path).await }).await.unwrap_or(false)
}
