//! HDFS as an `object_store`, on `hdfs-native`: under a root of its own, each call with a deadline (docs/adr/0021).
//!
//! It keeps `object_store`'s contract as far as `blobs.rs` needs it. Copying an object onto itself gives it another time of
//! modification; other copies, and lists of directories, are not implemented.

mod faults;
mod link;
mod names;
mod upload;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hdfs_native::Client;
use hdfs_native::client::{FileStatus, ListStatusIterator};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};

pub use faults::{Fault, Kind};
use link::Link;

use crate::config;
use crate::runtime::{clock, random};

/// Leaves the time of access as it is.
const UNCHANGED: u64 = u64::MAX;

/// Looks at the settings, and does not ask HDFS.
///
/// # Errors
/// When they, or the files that they name, tell of no NameNode.
pub fn check(settings: &config::Hdfs) -> std::result::Result<(), Fault> {
    link::check(settings)
}

#[derive(Debug, Clone)]
pub struct Hdfs {
    link: Arc<Link>,
    /// Absolute, without a slash at its end.
    root: String,
}

impl Hdfs {
    /// Connects, and makes the root where it lacks. Within a tokio runtime.
    ///
    /// # Errors
    /// A `Fault`, when the settings cannot be used, or HDFS does not answer or take the root.
    pub async fn open(settings: &config::Hdfs) -> Result<Self> {
        match Self::find(settings).await? {
            (store, true) => Ok(store),
            (store, false) => store.make_directory(&store.root).await.map(|()| store),
        }
    }

    /// Connects, and says whether the root is there. Within a tokio runtime.
    ///
    /// # Errors
    /// A `Fault`, when the settings cannot be used, or HDFS does not answer.
    pub async fn find(settings: &config::Hdfs) -> Result<(Self, bool)> {
        let root = settings.path.trim_end_matches('/').to_owned();
        let store = Self { link: Arc::new(Link::open(settings)?), root };
        let mut tries = store.link.namenodes();
        loop {
            tries -= 1;
            match store.find_root().await {
                // The next try begins with the next NameNode.
                Err(error) if tries > 0 && is_unreachable(&error) => {}
                found => return found.map(|found| (store, found)),
            }
        }
    }

    async fn find_root(&self) -> Result<bool> {
        let look = |client: Client, root: String| async move { client.get_file_info(&root).await };
        match self.link.call("look for the directory", &self.root, look).await {
            Ok(found) if found.isdir => Ok(true),
            Ok(_) => Err(self.link.refuse(format!("store.hdfs.path ({}) is a file", self.root))),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, location: &Path) -> String {
        format!("{}/{location}", self.root)
    }

    async fn make_directory(&self, path: &str) -> Result<()> {
        let make = |client: Client, path: String| async move { client.mkdirs(&path, 0o755, true).await };
        self.link.call("make a directory", path, make).await
    }

    async fn make_parent(&self, location: &Path) -> Result<()> {
        let path = self.path(location);
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        self.make_directory(parent).await
    }

    async fn status(&self, location: &Path) -> Result<FileStatus> {
        let path = self.path(location);
        let missing = || object_store::Error::NotFound { path: location.to_string(), source: "a directory".into() };
        let look = |client: Client, path: String| async move { client.get_file_info(&path).await };
        let status = self.link.call("look for a file", &path, look).await?;
        if status.isdir { Err(missing()) } else { Ok(status) }
    }

    fn meta(&self, status: &FileStatus) -> Result<ObjectMeta> {
        let inner = status.path.strip_prefix(&self.root).unwrap_or(&status.path);
        let modified = i64::try_from(status.modification_time).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
        let out_of_bounds = || self.link.refuse(format!("{} has no time of modification", status.path));
        Ok(ObjectMeta {
            location: Path::parse(inner)?,
            last_modified: modified.ok_or_else(out_of_bounds)?,
            size: status.length as u64,
            e_tag: None,
            version: None,
        })
    }

    /// The part of a file as its packets come, each within the deadline.
    async fn stream(&self, location: &Path, begin: u64, end: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        let path = self.path(location);
        let open = |client: Client, path: String| async move { client.read(&path).await };
        let reader = self.link.call("open a file", &path, open).await?;
        let (begin, end) = (begin as usize, end as usize);
        if begin > end || end > reader.file_length() {
            return Err(self.link.refuse(format!("{} became shorter", self.path(location))));
        }
        let mut packets = reader.read_range_stream(begin, end - begin).boxed();
        let link = Arc::clone(&self.link);
        let content = async_stream::try_stream! {
            while let Some(packet) = link.bounded("read", packets.next()).await? {
                yield packet.map_err(|error| link.fault("read", error))?;
            }
        };
        Ok(content.boxed())
    }

    /// The next file below a directory; none where the directory is not there.
    async fn next_listed(&self, pages: &ListStatusIterator) -> Result<Option<FileStatus>> {
        loop {
            let found = self.link.bounded("list a directory", pages.next()).await?.transpose();
            match found.map_err(|error| self.link.fault("list a directory", error)) {
                Ok(Some(status)) if status.isdir => {}
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                found => return found,
            }
        }
    }
}

impl fmt::Display for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.link, self.root)
    }
}

#[async_trait]
impl ObjectStore for Hdfs {
    /// In one step: written beside it, then renamed.
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mode = match options.mode {
            PutMode::Overwrite => RenameTargetMode::Overwrite,
            PutMode::Create => RenameTargetMode::Create,
            PutMode::Update(_) => return Err(not_implemented("updating")),
        };
        let temporary = Path::from_iter(["tmp", &random::id()]);
        let mut upload = upload::Upload::begin(&self.link, self.path(&temporary)).await?;
        let written = async {
            upload.put_part(payload).await?;
            upload.complete().await?;
            self.rename_opts(&temporary, location, RenameOptions::default().with_target_mode(mode)).await
        };
        match written.await {
            Ok(()) => Ok(PutResult { e_tag: None, version: None, extensions: Default::default() }),
            Err(error) => {
                self.link.discard(self.path(&temporary));
                Err(error)
            }
        }
    }

    /// The parts are at `location` as they come: it must be the upload's own.
    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(upload::Upload::begin(&self.link, self.path(location)).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let meta = self.meta(&self.status(location).await?)?;
        options.check_preconditions(&meta)?;
        let range = options.range.map(|range| range.as_range(meta.size)).transpose();
        let range = range.map_err(|error| self.link.refuse(error.to_string()))?.unwrap_or(0..meta.size);
        let content = match options.head {
            true => stream::empty().boxed(),
            false => self.stream(location, range.start, range.end).await?,
        };
        let payload = GetResultPayload::Stream(content);
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Path| {
            let store = store.clone();
            async move {
                match store.link.delete(store.path(&location)).await? {
                    true => Ok(location),
                    false => {
                        Err(object_store::Error::NotFound { path: location.to_string(), source: "not there".into() })
                    }
                }
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let directory = prefix.map_or_else(|| self.root.clone(), |prefix| self.path(prefix));
        let store = self.clone();
        let files = async_stream::try_stream! {
            let list = |client: Client| async move { Ok(client.list_status_iter(&directory, true)) };
            let pages = store.link.once("list a directory", list).await?;
            while let Some(status) = store.next_listed(&pages).await? {
                yield store.meta(&status)?;
            }
        };
        files.boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(not_implemented("listing directories"))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        if from != to {
            return Err(not_implemented("copying"));
        }
        // To the millisecond, and the clock may have been set back.
        let now = u64::try_from(clock::unix_ms()).unwrap_or_default();
        let modified = now.max(self.status(from).await?.modification_time + 1);
        let path = self.path(from);
        let touch = |client: Client, path: String| async move { client.set_times(&path, modified, UNCHANGED).await };
        self.link.call("touch a file", &path, touch).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.make_parent(to).await?;
        let overwrite = matches!(options.target_mode, RenameTargetMode::Overwrite);
        let (from, to) = (self.path(from), self.path(to));
        self.link.once("rename a file", |client| async move { client.rename(&from, &to, overwrite).await }).await
    }
}

fn is_unreachable(error: &object_store::Error) -> bool {
    let fault = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Fault>());
    fault.is_some_and(|fault| fault.kind == Kind::Unreachable)
}

fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.into(), implementer: "HDFS".into() }
}
