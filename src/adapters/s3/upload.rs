//! One upload: small ones are put in one step, others go to a temporary object in parts, which is copied to its key within S3.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, PutPayload};
use sha2::{Digest, Sha256};

use super::names::{self, Name};
use super::{Objects, TEMPORARY};
use crate::adapters::blobs::{hash, lost_task, next_part};
use crate::adapters::hex;
use crate::ports::{BlobError, BlobWriter};
use crate::runtime::crash::{self, Side};
use crate::runtime::random;

/// An upload holds one of them. S3 takes 10,000, of 5 MiB at least but for the last.
const PART_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct Writer {
    objects: Arc<Objects>,
    hasher: Sha256,
    size: u64,
    /// A part at most.
    rest: BytesMut,
    /// Since the first part was full.
    upload: Option<Upload>,
    /// A part failed or was given up halfway, so hash and content may differ.
    broken: bool,
}

struct Upload {
    parts: Box<dyn MultipartUpload>,
    temporary: String,
}

impl Writer {
    pub(super) fn new(objects: &Arc<Objects>) -> Self {
        let objects = Arc::clone(objects);
        Self { objects, hasher: Sha256::new(), size: 0, rest: BytesMut::new(), upload: None, broken: false }
    }

    async fn put_part(&mut self, part: Bytes) -> Result<(), BlobError> {
        if self.broken {
            return Err(BlobError::Unavailable("an earlier write of this upload failed".into()));
        }
        self.broken = true;
        self.size += part.len() as u64;
        if self.upload.is_none() {
            let temporary = format!("{TEMPORARY}/{}", random::id());
            let parts = self.objects.link.begin_upload(&temporary).await?;
            self.upload = Some(Upload { parts, temporary });
        }
        let upload = self.upload.as_mut().expect("made above");
        let put = upload.parts.put_part(PutPayload::from(part.clone()));
        crash::point("blob-part", Side::Before);
        let put = self.objects.link.bounded("take a part of an upload", put);
        let (hasher, put) = futures::join!(hash(self.hasher.clone(), part), put);
        self.hasher = hasher?;
        put?;
        crash::point("blob-part", Side::After);
        self.broken = false;
        Ok(())
    }

    async fn publish(mut self, expected: Option<String>) -> Result<(String, u64), BlobError> {
        let rest = self.rest.split().freeze();
        if self.upload.is_none() && !self.broken {
            self.size = rest.len() as u64;
            self.hasher = hash(self.hasher.clone(), rest.clone()).await?;
        } else if self.broken || !rest.is_empty() {
            self.put_part(rest.clone()).await?;
        }
        let found = hex(&self.hasher.clone().finalize());
        if let Some(expected) = expected
            && expected != found
        {
            return Err(BlobError::WrongHash { expected, found });
        }
        let temporary = self.complete().await?;
        let older = self.objects.find(&found).await?;
        let name = Name::after(older.last().map(|newest| newest.name), super::now_ns(), super::id());
        let key = names::key(&found, name);
        match temporary {
            Some(temporary) => {
                crash::point("blob-rename", Side::Before);
                let copied = self.objects.link.copy(&temporary, &key, self.size).await;
                self.objects.discard(temporary);
                copied?;
                crash::point("blob-rename", Side::After);
            }
            None => {
                crash::point("blob-put", Side::Before);
                self.objects.link.put(&key, rest).await?;
                crash::point("blob-put", Side::After);
            }
        }
        self.objects.delete_older(&older).await;
        Ok((found, self.size))
    }

    /// The temporary object, if the upload came in parts.
    async fn complete(&mut self) -> Result<Option<String>, BlobError> {
        let Some(upload) = &mut self.upload else { return Ok(None) };
        crash::point("blob-complete", Side::Before);
        self.objects.link.bounded("complete an upload", upload.parts.complete()).await?;
        crash::point("blob-complete", Side::After);
        Ok(self.upload.take().map(|upload| upload.temporary))
    }
}

impl Drop for Writer {
    /// Breaks off an upload that was not finished; what that cannot reach is swept.
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            let objects = Arc::clone(&self.objects);
            runtime.spawn(async move {
                if let Err(error) = objects.link.bounded("break an upload off", upload.parts.abort()).await {
                    tracing::debug!(%error, upload = upload.temporary, "what it left is swept later");
                }
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
