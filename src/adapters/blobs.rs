//! BinaryStore over `object_store`, so that local files, HDFS and cloud stores share one way of publishing.
//!
//! A blob of up to one part is kept in memory, and put in one step. A larger one goes to a temporary object part
//! by part while it is hashed, and is renamed to its hash at the end. Names are hashes, so overwriting is harmless.

mod parts;
mod shared;
pub(super) mod verified;

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetResultPayload, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::RwLock;
use tokio_util::io::ReaderStream;

use super::{hdfs, hex};
use crate::ports::{BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Stamp};
use crate::runtime::crash::{self, Side};
use crate::runtime::{clock, random};
pub(super) use parts::next_part;
pub(super) use shared::{ALIVE, BETWEEN_SWEEPS, OWNER, UPLOADS_END, age};

/// An upload holds about two of them.
const PART_BYTES: usize = 1024 * 1024;
/// Hashing more than this at once goes to the blocking pool: it would hold up the runtime for longer than ~50 µs.
const INLINE_HASH_BYTES: usize = 64 * 1024;
/// What a read of a local file yields at once.
const READ_BYTES: usize = 256 * 1024;
/// Temporary objects, beside the directories of two hexadecimal digits.
pub(super) const TEMPORARY: &str = "tmp";

/// Why a store of binaries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenBlobsError {
    /// It may answer later.
    #[error(transparent)]
    Away(BlobError),
    /// Somebody has to change something first: settings, permissions, or whose it is.
    #[error(transparent)]
    Wrong(BlobError),
}

impl OpenBlobsError {
    fn of(error: &object_store::Error) -> Self {
        use hdfs::Kind;
        let fault = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hdfs::Fault>());
        let passes = |fault: &hdfs::Fault| matches!(fault.kind, Kind::Unreachable | Kind::SafeMode | Kind::Unread);
        if fault.is_some_and(passes) { Self::Away(map(error)) } else { Self::Wrong(map(error)) }
    }
}

impl From<OpenBlobsError> for BlobError {
    fn from(error: OpenBlobsError) -> Self {
        let (OpenBlobsError::Away(error) | OpenBlobsError::Wrong(error)) = error;
        error
    }
}

pub struct ObjectBinaryStore {
    store: Arc<dyn ObjectStore>,
    /// Where the objects are files.
    local: Option<PathBuf>,
    /// Other processes may use it.
    shared: bool,
    /// Held for reading while a blob appears or is refreshed, for writing from a look at a blob to its deletion.
    gate: Arc<RwLock<()>>,
}

/// A store of binaries that is not in the data directory: whoever collects what nothing refers to must know all that may refer to it.
#[async_trait]
pub trait Owned: Send + Sync {
    /// Whose the store is.
    ///
    /// # Errors
    /// When it does not answer.
    async fn owner(&self) -> Result<Option<String>, OpenBlobsError>;

    /// Makes the store this owner's if it is nobody's.
    ///
    /// # Errors
    /// When it is another's, or does not answer.
    async fn claim(&self, owner: &str) -> Result<(), OpenBlobsError>;

    /// Makes the store this owner's, whoever's it was.
    ///
    /// # Errors
    /// When it does not answer.
    async fn hand_over(&self, owner: &str) -> Result<(), OpenBlobsError>;

    /// Leaves a sign of life of the server that works with the store; `None` takes it away.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn sign(&self, life: Option<&str>) -> Result<(), BlobError>;

    /// The sign of life that is there, and its age by the store's own clock.
    ///
    /// # Errors
    /// When the store does not answer, or takes no content.
    async fn signed(&self) -> Result<Option<(String, Duration)>, OpenBlobsError>;

    /// Removes what all uploads left that were not finished, whatever their age: for the one owner of a store, before it uploads, once
    /// no earlier process of its own can live. What is not removed goes after a day.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn sweep_uploads(&self) -> Result<(), BlobError> {
        Ok(())
    }
}

#[async_trait]
impl Owned for ObjectBinaryStore {
    async fn owner(&self) -> Result<Option<String>, OpenBlobsError> {
        shared::owner(&*self.store).await
    }

    async fn claim(&self, owner: &str) -> Result<(), OpenBlobsError> {
        shared::claim(&*self.store, owner).await
    }

    async fn hand_over(&self, owner: &str) -> Result<(), OpenBlobsError> {
        shared::hand_over(&*self.store, owner).await
    }

    async fn sign(&self, life: Option<&str>) -> Result<(), BlobError> {
        shared::sign(&*self.store, life).await.map_err(|error| map(&error))
    }

    async fn signed(&self) -> Result<Option<(String, Duration)>, OpenBlobsError> {
        shared::signed(&*self.store).await.map_err(|error| OpenBlobsError::of(&error))
    }

    async fn sweep_uploads(&self) -> Result<(), BlobError> {
        let removed = shared::sweep_uploads(&*self.store, Duration::ZERO).await.map_err(|error| map(&error))?;
        if removed > 0 {
            tracing::info!(removed, "removed uploads that an earlier process had not finished");
        }
        Ok(())
    }
}

impl ObjectBinaryStore {
    /// Over a store that other processes may use. Objects are `<first two digits>/<hash>`, `tmp/<id>` and `aside/<id>.<hash>`.
    /// The store must be durable when it answers; copying an object onto itself must change its time of modification.
    fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, local: None, shared: true, gate: Arc::default() }
    }

    /// Over a directory that exists and that nobody else uses: what broken-off uploads left there is removed.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open_local(directory: &FilePath) -> Result<Self, BlobError> {
        Self::open_directory(directory, false)
    }

    /// Over a directory that exists, where other processes may work, on other machines too. What uploads left there that
    /// began over a day ago is removed.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open_shared(directory: &FilePath) -> Result<Self, BlobError> {
        Self::open_directory(directory, true)
    }

    fn open_directory(directory: &FilePath, shared: bool) -> Result<Self, BlobError> {
        sweep(directory, shared.then_some(shared::UPLOADS_END)).map_err(|error| map_io(&error, &error))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| map(&error))?;
        let store = Arc::new(store.with_fsync(true));
        Ok(Self { store, local: Some(directory.to_owned()), shared, gate: Arc::default() })
    }

    /// In HDFS, where other processes may work. Within a tokio runtime.
    ///
    /// # Errors
    /// When the settings cannot be used, or HDFS does not answer or take the directory.
    pub async fn open_hdfs(settings: &crate::config::Hdfs) -> Result<Self, OpenBlobsError> {
        let store = hdfs::Hdfs::open(settings).await.map_err(|error| OpenBlobsError::of(&error))?;
        Ok(Self::over(Arc::new(store)))
    }

    /// As `open_hdfs`, where the directory is there; `None` where it is not.
    ///
    /// # Errors
    /// When the settings cannot be used, or HDFS does not answer.
    pub async fn find_hdfs(settings: &crate::config::Hdfs) -> Result<Option<Self>, OpenBlobsError> {
        let (store, found) = hdfs::Hdfs::find(settings).await.map_err(|error| OpenBlobsError::of(&error))?;
        Ok(found.then(|| Self::over(Arc::new(store))))
    }

    /// Sweeps again and again.
    pub async fn keep_swept(self: Arc<Self>) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "could not sweep the store of binaries");
            }
            tokio::time::sleep(shared::BETWEEN_SWEEPS).await;
        }
    }

    /// Removes what uploads of any node left in a shared store that began over a day ago, and puts blobs back whose deletion a
    /// node did not end.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self) -> Result<(), BlobError> {
        let (removed, returned) = shared::sweep(&*self.store).await.map_err(|error| map(&error))?;
        if removed + returned > 0 {
            tracing::info!(removed, returned, "swept what was left in the store of binaries");
        }
        Ok(())
    }
}

/// `LocalFileSystem` writes each object to `<name>#<n>` first, and hides such files when it lists.
/// Those go that are older than this.
fn sweep(directory: &FilePath, older: Option<Duration>) -> io::Result<()> {
    for part in std::fs::read_dir(directory)? {
        let part = part?;
        if !part.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(part.path())? {
            let file = file?;
            if is_unfinished(&part.file_name(), &file.file_name()) && is_older(&file, older) {
                match std::fs::remove_file(file.path()) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Whether an upload makes such a file in a directory of such a name: the place may be a wrong one, which holds other things.
fn is_unfinished(directory: &OsStr, file: &OsStr) -> bool {
    let (Some(directory), Some(file)) = (directory.to_str(), file.to_str()) else { return false };
    let (name, is_part) = file.split_once('#').map_or((file, false), |(name, _)| (name, true));
    let is_blob = || is_part && location(name).is_some_and(|place| place.as_ref().starts_with(directory));
    if directory == TEMPORARY { uuid::Uuid::parse_str(name).is_ok() } else { is_blob() }
}

fn is_older(file: &std::fs::DirEntry, than: Option<Duration>) -> bool {
    let Some(than) = than else { return true };
    // Another process may have removed it by now.
    let modified = file.metadata().and_then(|meta| meta.modified());
    modified.is_ok_and(|modified| clock::system_time().duration_since(modified).is_ok_and(|age| age > than))
}

/// `None` for what is no hash: it cannot be there, and must not become a path.
fn location(sha256: &str) -> Option<Path> {
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| Path::from_iter([&sha256[..2], sha256]))
}

/// An id, and an object of this name that nobody else has.
fn temporary() -> (String, Path) {
    let id = random::id();
    let place = Path::from_iter([TEMPORARY, &id]);
    (id, place)
}

fn map(error: &object_store::Error) -> BlobError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(source) = found.downcast_ref::<io::Error>() {
            return map_io(source, error);
        }
        if let Some(fault) = found.downcast_ref::<hdfs::Fault>() {
            return match fault.kind {
                hdfs::Kind::Full => BlobError::Full(fault.to_string()),
                _ => BlobError::Unavailable(fault.to_string()),
            };
        }
        cause = found.source();
    }
    BlobError::Unavailable(error.to_string())
}

/// Of a reader of this blob, which is at this place.
fn map_read(error: &object_store::Error, sha256: &str, place: &str) -> BlobError {
    let fault = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hdfs::Fault>());
    let told = |fault: &hdfs::Fault| (sha256.to_owned(), format!("{place}: {fault}"));
    match fault.map(|fault| (fault.kind, told(fault))) {
        Some((hdfs::Kind::Damaged, (sha256, why))) => BlobError::Damaged { sha256, why },
        Some((hdfs::Kind::Unread, (sha256, why))) => BlobError::Unreadable { sha256, why },
        _ => map(error),
    }
}

fn map_io(source: &io::Error, error: &dyn std::error::Error) -> BlobError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            BlobError::Full(source.to_string())
        }
        _ => BlobError::Unavailable(error.to_string()),
    }
}

pub(super) fn lost_task(error: &tokio::task::JoinError) -> BlobError {
    BlobError::Unavailable(error.to_string())
}

pub(super) async fn hash(mut hasher: Sha256, part: Bytes) -> Result<Sha256, BlobError> {
    if part.len() <= INLINE_HASH_BYTES {
        hasher.update(&part);
        return Ok(hasher);
    }
    let update = move || {
        hasher.update(&part);
        hasher
    };
    tokio::task::spawn_blocking(update).await.map_err(|error| lost_task(&error))
}

/// `None` for what is no blob: the name of a blob is its hash.
fn info(meta: &ObjectMeta) -> Option<BlobInfo> {
    let sha256 = meta.location.filename()?;
    location(sha256)?;
    Some(BlobInfo { sha256: sha256.to_owned(), size_bytes: meta.size, stamp: stamp_of(meta)? })
}

fn stamp_of(meta: &ObjectMeta) -> Option<Stamp> {
    meta.last_modified.timestamp_nanos_opt().map(Stamp)
}

/// Gives a blob another stamp. Files get theirs to the nanosecond: the system's own times tell uploads within some
/// milliseconds not apart. To be called within the gate.
async fn restamp(store: &dyn ObjectStore, local: Option<&FilePath>, place: &Path) -> Result<(), object_store::Error> {
    let Some(directory) = local else { return store.copy(place, place).await };
    let file = directory.join(place.as_ref());
    let touch = move || {
        let file = std::fs::File::options().write(true).open(file)?;
        let before = file.metadata()?.modified()?;
        // The clock may have been set back.
        file.set_modified(clock::system_time().max(before + Duration::from_nanos(1)))
    };
    let touched = tokio::task::spawn_blocking(touch).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    touched.map_err(|error| match error.kind() {
        ErrorKind::NotFound => object_store::Error::NotFound { path: place.to_string(), source: Box::new(error) },
        _ => object_store::Error::Generic { store: "files", source: Box::new(error) },
    })
}

/// Another node may have moved a blob aside that was just published, and then moves it back.
async fn restamp_published(
    store: &dyn ObjectStore,
    local: Option<&FilePath>,
    shared: bool,
    place: &Path,
) -> Result<(), BlobError> {
    let mut looks = if shared { shared::LOOKS } else { 1 };
    loop {
        looks -= 1;
        match restamp(store, local, place).await {
            Err(object_store::Error::NotFound { .. }) if looks > 0 => tokio::time::sleep(shared::LOOK_AGAIN).await,
            done => return done.map_err(|error| map(&error)),
        }
    }
}

struct Writer {
    store: Arc<dyn ObjectStore>,
    local: Option<PathBuf>,
    shared: bool,
    gate: Arc<RwLock<()>>,
    hasher: Sha256,
    size: u64,
    /// Less than a part.
    rest: BytesMut,
    /// Since the first part was full.
    upload: Option<Upload>,
    /// A part failed or was given up halfway, so hash and content may differ.
    broken: bool,
}

struct Upload {
    parts: Box<dyn MultipartUpload>,
    id: String,
    temporary: Path,
}

impl Writer {
    async fn put_part(&mut self, part: Bytes) -> Result<(), BlobError> {
        if self.broken {
            return Err(BlobError::Unavailable("an earlier write of this upload failed".into()));
        }
        self.broken = true;
        self.size += part.len() as u64;
        if self.upload.is_none() {
            let (id, temporary) = temporary();
            let parts = self.store.put_multipart(&temporary).await.map_err(|error| map(&error))?;
            self.upload = Some(Upload { parts, id, temporary });
        }
        let upload = self.upload.as_mut().expect("made above");
        let put = upload.parts.put_part(PutPayload::from(part.clone()));
        crash::point("blob-part", Side::Before);
        let (hasher, put) = futures::join!(hash(self.hasher.clone(), part), put);
        self.hasher = hasher?;
        put.map_err(|error| map(&error))?;
        crash::point("blob-part", Side::After);
        self.broken = false;
        Ok(())
    }

    async fn publish(mut self, expected: Option<String>) -> Result<(String, u64), BlobError> {
        let rest = self.rest.split().freeze();
        let small = self.upload.is_none() && !self.broken;
        if small {
            self.size = rest.len() as u64;
            self.hasher = hash(self.hasher.clone(), rest.clone()).await?;
        } else if self.broken || !rest.is_empty() {
            self.put_part(rest.clone()).await?;
        }
        let found = hex(&self.hasher.clone().finalize());
        if let Some(expected) = expected
            && expected != found
        {
            if let Some(mut upload) = self.upload.take() {
                let _ = upload.parts.abort().await;
            }
            return Err(BlobError::WrongHash { expected, found });
        }
        let place = location(&found).expect("a hash");
        match self.upload.take() {
            Some(upload) => self.complete(upload, &place).await?,
            None => {
                let _gate = self.gate.read().await;
                crash::point("blob-put", Side::Before);
                self.store.put(&place, rest.into()).await.map_err(|error| map(&error))?;
                restamp_published(&*self.store, self.local.as_deref(), self.shared, &place).await?;
                crash::point("blob-put", Side::After);
            }
        }
        Ok((found, self.size))
    }

    async fn complete(&mut self, mut upload: Upload, place: &Path) -> Result<(), BlobError> {
        crash::point("blob-complete", Side::Before);
        if let Err(error) = upload.parts.complete().await {
            // `LocalFileSystem` has given its file up by now; on a full disk it must not stay until the next start.
            if let Some(directory) = &self.local {
                let _ = tokio::fs::remove_file(directory.join(TEMPORARY).join(format!("{}#1", upload.id))).await;
            }
            return Err(map(&error));
        }
        crash::point("blob-complete", Side::After);
        crash::point("blob-rename", Side::Before);
        let _gate = self.gate.read().await;
        let renamed = self.store.rename(&upload.temporary, place).await;
        crash::point("blob-rename", Side::After);
        if renamed.is_err() {
            let _ = self.store.delete(&upload.temporary).await;
        }
        renamed.map_err(|error| map(&error))?;
        restamp_published(&*self.store, self.local.as_deref(), self.shared, place).await
    }
}

impl Drop for Writer {
    /// Breaks off an upload that was not finished; outside a runtime the next opening sweeps it.
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = upload.parts.abort().await;
            });
        }
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), BlobError> {
        while let Some(part) = next_part(&mut self.rest, &mut chunk, PART_BYTES) {
            self.put_part(part).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, expected: Option<&str>) -> Result<(String, u64), BlobError> {
        // On a task of its own: a caller that goes away must not leave it half published.
        let publish = tokio::spawn(self.publish(expected.map(str::to_owned)));
        publish.await.map_err(|error| lost_task(&error))?
    }
}

#[async_trait]
impl BinaryStore for ObjectBinaryStore {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(Writer {
            store: self.store.clone(),
            local: self.local.clone(),
            shared: self.shared,
            gate: Arc::clone(&self.gate),
            hasher: Sha256::new(),
            size: 0,
            rest: BytesMut::new(),
            upload: None,
            broken: false,
        }))
    }

    async fn read(&self, sha256: &str, offset: u64, length: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        let missing = || BlobError::NotFound(sha256.to_owned());
        let place = location(sha256).ok_or_else(missing)?;
        let size = self.size(sha256).await?.ok_or_else(missing)?;
        let begin = offset.min(size);
        let end = begin.saturating_add(length.unwrap_or(size)).min(size);
        if begin == end {
            return Ok((stream::empty().boxed(), size));
        }
        let whole = end - begin == size;
        let (name, at) = (sha256.to_owned(), format!("{}/{place}", self.store));
        let verified = |content| if whole { verified::verified(content, sha256.to_owned(), size) } else { content };
        let options = GetOptions { range: Some((begin..end).into()), ..GetOptions::default() };
        let result = self.store.get_opts(&place, options).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => missing(),
            error => map(&error),
        })?;
        match result.payload {
            // Its own stream hands each 8 KiB over to a thread, and never ends on a file that became shorter.
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                file.set_max_buf_size(READ_BYTES);
                file.seek(io::SeekFrom::Start(begin)).await.map_err(|error| map_io(&error, &error))?;
                let chunks = ReaderStream::with_capacity(file.take(end - begin), READ_BYTES);
                Ok((verified(chunks.map_err(|error| map_io(&error, &error)).boxed()), size))
            }
            _ => {
                let told = move |error| map_read(&error, &name, &at);
                Ok((verified(result.into_stream().map_err(told).boxed()), size))
            }
        }
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        Ok(self.stat(sha256).await?.map(|blob| blob.size_bytes))
    }

    async fn delete(&self, sha256: &str) -> Result<(), BlobError> {
        let Some(place) = location(sha256) else { return Ok(()) };
        crash::point("blob-delete", Side::Before);
        let deleted = self.store.delete(&place).await;
        crash::point("blob-delete", Side::After);
        match deleted {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(map(&error)),
        }
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let first = after.and_then(|after| u8::from_str_radix(after.get(..2)?, 16).ok()).unwrap_or(0);
        let mut found = Vec::new();
        for directory in first..=u8::MAX {
            if found.len() >= limit {
                break;
            }
            let prefix = Path::from(format!("{directory:02x}"));
            let all: Vec<ObjectMeta> = self.store.list(Some(&prefix)).try_collect().await.map_err(|e| map(&e))?;
            let behind = |blob: &BlobInfo| after.is_none_or(|after| blob.sha256.as_str() > after);
            let begin = found.len();
            found.extend(all.iter().filter_map(info).filter(behind));
            found[begin..].sort_by(|a, b| a.sha256.cmp(&b.sha256));
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError> {
        let Some(place) = location(sha256) else { return Ok(None) };
        match self.store.head(&place).await {
            Ok(meta) => Ok(info(&meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(map(&error)),
        }
    }

    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        let Some(place) = location(sha256) else { return Ok(None) };
        let _gate = self.gate.read().await;
        match restamp(&*self.store, self.local.as_deref(), &place).await {
            Ok(()) => self.size(sha256).await,
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(map(&error)),
        }
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError> {
        let _gate = self.gate.write().await;
        if self.stat(sha256).await?.is_none_or(|blob| blob.stamp != stamp) {
            return Ok(false);
        }
        if self.shared {
            let Some(place) = location(sha256) else { return Ok(false) };
            let is_meant = |meta: &ObjectMeta| stamp_of(meta) == Some(stamp);
            crash::point("blob-delete", Side::Before);
            let deleted = shared::delete_if(&*self.store, &place, is_meant).await;
            crash::point("blob-delete", Side::After);
            return deleted.map_err(|error| map(&error));
        }
        self.delete(sha256).await?;
        Ok(true)
    }

    /// Where uploads have their temporary objects, so what a killed process leaves goes with those.
    async fn probe(&self) -> Result<(), BlobError> {
        let (id, place) = temporary();
        let content = Bytes::from(id);
        let asked = async {
            self.store.put(&place, content.clone().into()).await?;
            self.store.get(&place).await?.bytes().await
        };
        let found = asked.await;
        let removed = self.store.delete(&place).await;
        let found = found.map_err(|error| map(&error))?;
        removed.map_err(|error| map(&error))?;
        let differs = || BlobError::Unavailable(format!("{}/{place} was not what had just been written", self.store));
        if found == content { Ok(()) } else { Err(differs()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_told_as_full_however_deep_the_cause() {
        let deep = io::Error::other(io::Error::from(ErrorKind::PermissionDenied));
        for (cause, full) in [(io::Error::from_raw_os_error(28), true), (deep, false)] {
            let error = object_store::Error::Generic { store: "test", source: Box::new(cause) };
            assert_eq!(matches!(map(&error), BlobError::Full(_)), full, "{error}");
        }
    }
}
