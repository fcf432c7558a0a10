//! What several nodes do to one store at once: deleting what another one may be uploading, and what a node left there.
//!
//! No store deletes only if nothing has changed. So a blob is first moved aside in one step, then looked at; and moved back, if
//! it is not the one that was meant. Who uploads it meanwhile finds that it is away for a moment, and looks again.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, Result};
use uuid::Uuid;

use super::{OpenBlobsError, TEMPORARY, location, temporary};
use crate::ports::BlobError;
use crate::runtime::crash::{self, Side};
use crate::runtime::{clock, random};

/// Blobs between being moved aside and being deleted: `<id>.<hash>`.
const ASIDE: &str = "aside";
/// An upload that began so long ago has ended, one way or the other.
pub(in crate::adapters) const UPLOADS_END: Duration = Duration::from_secs(24 * 60 * 60);
/// A deletion takes a few calls, each of which has a deadline.
const DELETIONS_END: Duration = Duration::from_secs(60 * 60);
/// How long who looks for a blob waits for it to be moved back.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);
pub(super) const LOOKS: usize = 50;

/// Whose store it is.
pub(in crate::adapters) const OWNER: &str = "owner";
/// Which server works with it, as long as it does.
pub(in crate::adapters) const ALIVE: &str = "alive";
pub(in crate::adapters) const BETWEEN_SWEEPS: Duration = Duration::from_secs(60 * 60);

pub(super) async fn owner(store: &dyn ObjectStore) -> std::result::Result<Option<String>, OpenBlobsError> {
    let found = async { store.get(&Path::from(OWNER)).await?.bytes().await };
    match found.await {
        Ok(found) => Ok(Some(String::from_utf8_lossy(&found).into_owned())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(OpenBlobsError::of(&error)),
    }
}

pub(super) async fn claim(store: &dyn ObjectStore, owner: &str) -> std::result::Result<(), OpenBlobsError> {
    crash::point("binaries-owner", Side::Before);
    match store.put_opts(&Path::from(OWNER), owner.to_owned().into(), PutMode::Create.into()).await {
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(OpenBlobsError::of(&error)),
    }
    crash::point("binaries-owner", Side::After);
    let found = self::owner(store).await?.unwrap_or_default();
    if found == owner {
        return Ok(());
    }
    Err(OpenBlobsError::Wrong(BlobError::Unavailable(format!(
        "{store} holds the binaries of another server ({found}; this one is {owner}), which would delete this one's as \
         unused: give each server a directory of its own with store.hdfs.path or store.shared.directory; if the other is \
         gone for good, take them over with `doyen store adopt`"
    ))))
}

/// Whoever it was before.
pub(super) async fn hand_over(store: &dyn ObjectStore, owner: &str) -> std::result::Result<(), OpenBlobsError> {
    crash::point("binaries-owner", Side::Before);
    let put = store.put(&Path::from(OWNER), owner.to_owned().into()).await;
    put.map_err(|error| OpenBlobsError::of(&error))?;
    crash::point("binaries-owner", Side::After);
    Ok(())
}

pub(super) async fn sign(store: &dyn ObjectStore, life: Option<&str>) -> Result<()> {
    match life {
        Some(life) => store.put(&Path::from(ALIVE), life.to_owned().into()).await.map(drop),
        None => ignore_missing(store.delete(&Path::from(ALIVE)).await),
    }
}

/// Its age is told by something that is written now: clocks of machines differ.
pub(super) async fn signed(store: &dyn ObjectStore) -> Result<Option<(String, Duration)>> {
    let found = match store.get(&Path::from(ALIVE)).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        found => found?,
    };
    let written = found.meta.last_modified;
    let life = String::from_utf8_lossy(&found.bytes().await?).into_owned();
    let (id, place) = temporary();
    store.put(&place, id.into()).await?;
    let now = store.head(&place).await;
    ignore_missing(store.delete(&place).await)?;
    Ok(Some((life, (now?.last_modified - written).to_std().unwrap_or_default())))
}

/// Deletes the blob, if `is_meant` says so of its time of modification. Of two that try, one does it.
pub(super) async fn delete_if(
    store: &dyn ObjectStore,
    place: &Path,
    is_meant: impl Fn(&object_store::ObjectMeta) -> bool,
) -> Result<bool> {
    let Some(sha256) = place.filename() else { return Ok(false) };
    let aside = Path::from_iter([ASIDE, &format!("{}.{sha256}", random::id())]);
    match store.rename(place, &aside).await {
        Ok(()) => {}
        Err(Error::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    if is_meant(&store.head(&aside).await?) {
        store.delete(&aside).await?;
        return Ok(true);
    }
    put_back(store, &aside, place).await?;
    Ok(false)
}

async fn put_back(store: &dyn ObjectStore, aside: &Path, place: &Path) -> Result<()> {
    match store.rename_if_not_exists(aside, place).await {
        // The same content was uploaded meanwhile.
        Err(Error::AlreadyExists { .. }) => store.delete(aside).await,
        done => done,
    }
}

/// Removes what uploads left there that were broken off, and puts back what deletions did: how many of both.
pub(super) async fn sweep(store: &dyn ObjectStore) -> Result<(usize, usize)> {
    let (removed, mut returned) = (sweep_uploads(store, UPLOADS_END).await?, 0);
    for name in names(store, ASIDE).await? {
        let Some((id, place)) = name.split_once('.').and_then(|(id, hash)| Some((id, location(hash)?))) else {
            continue;
        };
        if age(id).is_some_and(|age| age > DELETIONS_END) {
            ignore_missing(put_back(store, &Path::from_iter([ASIDE, &name]), &place).await)?;
            returned += 1;
        }
    }
    Ok((removed, returned))
}

/// Removes what uploads left there that began so long ago, or longer: how many.
pub(super) async fn sweep_uploads(store: &dyn ObjectStore, older: Duration) -> Result<usize> {
    let mut removed = 0;
    for name in names(store, TEMPORARY).await? {
        if age(&name).is_some_and(|age| age >= older) {
            ignore_missing(store.delete(&Path::from_iter([TEMPORARY, &name])).await)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn ignore_missing(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound { .. }) => Ok(()),
        result => result,
    }
}

async fn names(store: &dyn ObjectStore, directory: &str) -> Result<Vec<String>> {
    let all: Vec<_> = store.list(Some(&Path::from(directory))).try_collect().await?;
    Ok(all.iter().filter_map(|found| found.location.filename().map(str::to_owned)).collect())
}

/// Since the id was made; by the clock of who made it.
pub(in crate::adapters) fn age(id: &str) -> Option<Duration> {
    let (seconds, _) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    let now = u64::try_from(clock::unix_ms()).ok()? / 1000;
    Some(Duration::from_secs(now.saturating_sub(seconds)))
}
