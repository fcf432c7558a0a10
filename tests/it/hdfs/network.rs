//! The network between us and the NameNode, and between us and the DataNode, does what networks do: each call ends at its
//! deadline, what is half uploaded is not there, and what is asked again works.

use doyen::ports::{BlobReader, BlobWriter};
use doyen::runtime::clock;
use futures::StreamExt;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::*;
use crate::servers::hadoop::{PROXY_HOST, local};
use crate::servers::proxy::{Proxy, Weather};

const DEADLINE: Duration = Duration::from_secs(4);
/// An upload that fails makes some calls, one after the other, and so does what tidies up behind it.
const SOON: Duration = Duration::from_secs(60);
/// More than is under way in any buffer.
const MUCH: usize = 48 << 20;

/// One DataNode has one proxy before it.
static TURN: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);

#[derive(Debug, Clone, Copy)]
enum Place {
    NameNode,
    DataNode,
}

struct Links {
    /// It waits for `DEADLINE`.
    store: Arc<dyn BinaryStore>,
    /// It waits for longer than anything takes.
    patient: Arc<dyn BinaryStore>,
    settings: config::Hdfs,
    namenode: Proxy,
    datanode: Proxy,
    _turn: OwnedMutexGuard<()>,
    _calm: OwnedRwLockReadGuard<()>,
}

impl Links {
    async fn open() -> Self {
        let turn = Arc::clone(&TURN).lock_owned().await;
        let calm = fresh().1;
        let namenode = Proxy::before(&SERVER.address()).await;
        let port = SERVER.datanode_port();
        let datanode = Proxy::at(&format!("{PROXY_HOST}:{port}"), &local(port)).await;
        let url = Some(format!("hdfs://{}", namenode.address));
        let conf_dir = Some(SERVER.conf_of_names());
        let settings = config::Hdfs { url, conf_dir, deadline: Duration::from_secs(60), ..settings() };
        let patient = open(&settings).unwrap();
        let store = open(&config::Hdfs { deadline: DEADLINE, ..settings.clone() }).unwrap();
        Self { store, patient, settings, namenode, datanode, _turn: turn, _calm: calm }
    }

    fn set(&self, place: Place, weather: Weather) {
        match place {
            Place::NameNode => self.namenode.set(weather),
            Place::DataNode => self.datanode.set(weather),
        }
    }

    /// An upload of which so much is written.
    async fn begun(&self, content: &Bytes) -> Box<dyn BlobWriter> {
        loop {
            // On a busy machine it may take longer than the deadline even in fair weather.
            let begun = async {
                let mut writer = self.store.create().await?;
                writer.write(content.clone()).await?;
                Ok::<_, BlobError>(writer)
            };
            if let Ok(writer) = begun.await {
                return writer;
            }
        }
    }

    /// A download of which something has come.
    async fn reading(&self, sha256: &str) -> BlobReader {
        loop {
            if let Ok((mut reader, _)) = self.store.read(sha256, 0, None).await
                && let Some(Ok(_)) = reader.next().await
            {
                return reader;
            }
        }
    }

    /// All that is to be seen is whole, and uploads and downloads work.
    async fn are_sound(&self) {
        until_it_works(&self.store).await;
        for blob in self.patient.list(None, 1000).await.unwrap() {
            // Its bytes have its hash, or this fails.
            let content = read(&self.patient, &blob.sha256).await.unwrap();
            assert_eq!(content.len() as u64, blob.size_bytes);
        }
        uploads::nothing_is_left(&self.settings.path).await;
    }
}

async fn soon<T>(what: &str, work: impl Future<Output = Result<T, BlobError>>) -> Result<T, BlobError> {
    let begin = clock::instant();
    let done = tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("{what} takes more than {SOON:?}"));
    println!("{what}: {:?}", clock::since(begin));
    done
}

#[track_caller]
fn says_why(what: &str, error: BlobError) {
    let text = error.to_string();
    let why = ["store.hdfs.deadline (4s)", "store.hdfs.url", "DataNodes run", "hdfs fsck"];
    let is_away = matches!(error, BlobError::Unavailable(_) | BlobError::Unreadable { .. });
    assert!(is_away && why.iter().any(|why| text.contains(why)), "{what}: {text}");
}

async fn uploads_fail_at_their_deadline(place: Place, weathers: &[Weather]) {
    let links = Links::open().await;
    for (n, weather) in weathers.iter().enumerate() {
        let what = format!("an upload, {place:?} {weather:?}");
        let content = content(MUCH + n);
        let mut writer = links.begun(&content.slice(..LARGE)).await;
        links.set(place, *weather);
        let rest = async {
            writer.write(content.slice(LARGE..)).await?;
            writer.finish(None).await
        };
        says_why(&what, soon(&what, rest).await.unwrap_err());
        links.set(place, Weather::Fair);
        links.are_sound().await;
    }
}

async fn downloads_fail_at_their_deadline(place: Place, weathers: &[Weather]) {
    let links = Links::open().await;
    let content = content(MUCH);
    let stored = upload(&links.patient, &content).await.unwrap();
    for weather in weathers {
        let what = format!("a download, {place:?} {weather:?}");
        let reader = links.reading(&stored).await;
        links.set(place, *weather);
        let rest = async {
            reader.try_collect::<Vec<_>>().await?;
            read(&links.store, &stored).await
        };
        says_why(&what, soon(&what, rest).await.unwrap_err());
        links.set(place, Weather::Fair);
        links.are_sound().await;
    }
    assert!(read(&links.patient, &stored).await.unwrap() == content);
}

const LATE: Weather = Weather::Slow(Duration::from_secs(10));

#[tokio::test(flavor = "multi_thread")]
async fn link_to_the_namenode_fails_during_an_upload() {
    uploads_fail_at_their_deadline(Place::NameNode, &[Weather::Cut, Weather::AnswersLost, LATE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_to_the_namenode_fails_during_a_download() {
    downloads_fail_at_their_deadline(Place::NameNode, &[Weather::Cut, LATE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_to_the_datanode_fails_during_an_upload() {
    let weathers = [Weather::Cut, Weather::Silent, Weather::Throttled(100_000)];
    uploads_fail_at_their_deadline(Place::DataNode, &weathers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_to_the_datanode_fails_during_a_download() {
    downloads_fail_at_their_deadline(Place::DataNode, &[Weather::Cut, Weather::Silent, LATE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_links_take_their_time_and_all_comes_through() {
    let links = Links::open().await;
    let content = content(6 << 20);
    links.datanode.set(Weather::Throttled(2 << 20));
    links.namenode.set(Weather::Slow(Duration::from_millis(50)));
    let stored = upload(&links.patient, &content).await.unwrap();
    assert!(read(&links.patient, &stored).await.unwrap() == content);
}

/// What an upload to a DataNode that takes nothing keeps in memory.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_wait_for_a_datanode_that_is_silent_before_they_hold_much() {
    let links = Links::open().await;
    let mut writer = links.begun(&content(LARGE)).await;
    links.datanode.set(Weather::Silent);
    let part = content(1 << 20);
    let mut taken = 0;
    let error = loop {
        match soon("a part", writer.write(part.clone())).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    says_why("a part", error);
    assert!(taken < 32, "{taken} MiB");
    drop(writer);
    links.datanode.set(Weather::Fair);
    links.are_sound().await;
}
