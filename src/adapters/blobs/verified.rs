//! Content is verified as it is read, where a reader asks for the whole.

use async_stream::try_stream;
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::{INLINE_HASH_BYTES, lost_task};
use crate::adapters::hex;
use crate::ports::{BlobError, BlobReader};

/// So much is hashed at once, on a thread of its own, while the next is read.
const BATCH_BYTES: usize = 512 * 1024;

/// The same content. Its last chunks come only once the hash is known to be right, so that who counts bytes notices as well.
pub(in crate::adapters) fn verified(mut content: BlobReader, sha256: String, size: u64) -> BlobReader {
    let verified = try_stream! {
        let mut hasher = Sha256::new();
        let mut read = 0;
        let mut held = Vec::new();
        loop {
            let (hashed, next) = futures::join!(hash_all(hasher, held.clone()), batch(&mut content));
            hasher = hashed?;
            let next = next?;
            if next.is_empty() {
                check(&hasher, &sha256, read, size)?;
            }
            read += next.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            for chunk in std::mem::replace(&mut held, next) {
                yield chunk;
            }
            if held.is_empty() {
                break;
            }
        }
    };
    verified.boxed()
}

/// Nothing at the end.
async fn batch(content: &mut BlobReader) -> Result<Vec<Bytes>, BlobError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES
        && let Some(chunk) = content.next().await.transpose()?
    {
        bytes += chunk.len();
        batch.push(chunk);
    }
    Ok(batch)
}

async fn hash_all(mut hasher: Sha256, batch: Vec<Bytes>) -> Result<Sha256, BlobError> {
    let bytes: usize = batch.iter().map(Bytes::len).sum();
    let update = move || {
        batch.iter().for_each(|chunk| hasher.update(chunk));
        hasher
    };
    if bytes <= INLINE_HASH_BYTES {
        return Ok(update());
    }
    tokio::task::spawn_blocking(update).await.map_err(|error| lost_task(&error))
}

fn check(hasher: &Sha256, sha256: &str, read: u64, size: u64) -> Result<(), BlobError> {
    let found = hex(&hasher.clone().finalize());
    if found == sha256 {
        return Ok(());
    }
    let why = if read == size {
        format!("it has the hash {found} now")
    } else {
        format!("it ends after {read} of {size} bytes")
    };
    Err(BlobError::Damaged { sha256: sha256.to_owned(), why })
}
