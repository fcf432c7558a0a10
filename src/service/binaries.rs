//! Uploading, listing and deleting binaries.

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::{Permission, Principal, Service, ServiceError};
use crate::core::binaries::{BinaryRecord, BinaryType, BlobRef, check_name};
use crate::jobs::records::Hold;
use crate::jobs::{Claim, StoreError};
use crate::ports::{ArchiveError, ArchiveLimits};
use crate::runtime::clock;

/// Content that arrives; an error is what the client's connection said.
pub trait Upload: Stream<Item = Result<Bytes, String>> + Send + Unpin {}
impl<T: Stream<Item = Result<Bytes, String>> + Send + Unpin> Upload for T {}

/// What every zip archive begins with.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const NOT_AN_ARCHIVE: &str = "Binary is not of the right format";

impl Service {
    pub async fn list_binaries(&self, who: &Principal) -> Result<Vec<BinaryRecord>, ServiceError> {
        self.permit(who, Permission::BinariesRead)?;
        Ok(self.records.binaries().await?)
    }

    pub async fn binary(&self, who: &Principal, name: &str) -> Result<BinaryRecord, ServiceError> {
        self.permit(who, Permission::BinariesRead)?;
        let found = self.records.binary(name).await?;
        found.map(|v| v.record).ok_or_else(|| ServiceError::BinaryNotFound(name.into()))
    }

    /// Streams the content into the store, checks it, and gives it the name, replacing what had it. Durable when it answers.
    pub async fn upload_binary(
        &self,
        who: &Principal,
        name: &str,
        media_type: &str,
        mut content: impl Upload,
        claim: Option<Claim>,
    ) -> Result<(), ServiceError> {
        self.permit(who, Permission::BinariesUpload)?;
        let kind = BinaryType::of_media_type(media_type)
            .ok_or_else(|| ServiceError::UnsupportedBinaryType(media_type.into()))?;
        check_name(name).map_err(|error| ServiceError::BadName(format!("binary name refused: {error}")))?;
        let (content, _held) = self.store_archive(&mut content).await?;
        let record = BinaryRecord {
            name: name.into(),
            kind,
            content,
            uploaded_ms: clock::unix_ms(),
            principal: who.name.clone(),
        };
        let claim = claim.map(|claim| claim.of_body(&record.content.sha256));
        Ok(self.records.put_binary(&record, claim.as_ref()).await?)
    }

    /// Stores content that must be a sound zip archive; what is not leaves nothing behind. It is to be held until a record
    /// refers to it.
    pub(super) async fn store_archive(
        &self,
        content: &mut (impl Upload + ?Sized),
    ) -> Result<(BlobRef, Hold), ServiceError> {
        let limit = self.config.http.max_upload_bytes;
        let mut writer = self.blobs.create().await?;
        let mut beginning = Vec::with_capacity(ZIP_MAGIC.len());
        let mut size = 0u64;
        while let Some(part) = content.next().await {
            let part = part.map_err(ServiceError::BodyCut)?;
            size += part.len() as u64;
            if size > limit {
                return Err(ServiceError::TooLarge { limit_bytes: limit });
            }
            if beginning.len() < ZIP_MAGIC.len() {
                beginning.extend(part.iter().take(ZIP_MAGIC.len() - beginning.len()));
                if !ZIP_MAGIC.starts_with(&beginning) {
                    return Err(ServiceError::BadBinary(NOT_AN_ARCHIVE.into()));
                }
            }
            self.wake_retention_if_full(writer.write(part).await)?;
        }
        if beginning.len() < ZIP_MAGIC.len() {
            return Err(ServiceError::BadBinary(NOT_AN_ARCHIVE.into()));
        }
        let (sha256, size_bytes) = self.wake_retention_if_full(writer.finish(None).await)?;
        let held = self.records.hold([sha256.as_str()]);
        let stored = self.blobs.stat(&sha256).await?;
        if let Err(refusal) = self.check_archive(&sha256, size_bytes).await {
            if let Some(blob) = stored
                && !self.is_used(&sha256).await?
            {
                // Unless somebody else brought the same meanwhile.
                self.blobs.delete_unchanged(&sha256, blob.stamp).await?;
            }
            return Err(refusal);
        }
        Ok((BlobRef { sha256, size_bytes }, held))
    }

    /// Whether a binary or a job refers to the content: it may have been accepted when the limits were wider.
    async fn is_used(&self, sha256: &str) -> Result<bool, ServiceError> {
        let by_binary = self.records.binaries().await?.iter().any(|binary| binary.content.sha256 == sha256);
        let jobs = self.records.active_jobs().await?;
        Ok(by_binary || jobs.iter().flat_map(|job| &job.binaries).any(|used| used.content.sha256 == sha256))
    }

    async fn check_archive(&self, sha256: &str, size_bytes: u64) -> Result<(), ServiceError> {
        let limits = ArchiveLimits {
            max_unpacked_bytes: self.config.store.max_unpacked_bytes,
            max_entries: self.config.store.max_archive_entries,
        };
        let checked = self.archives.check(sha256, size_bytes, limits).await;
        checked.map_err(|error| match error {
            ArchiveError::Refused(why) => ServiceError::BadBinary(format!("{NOT_AN_ARCHIVE}: {why}")),
            ArchiveError::NotAnArchive => ServiceError::BadBinary(NOT_AN_ARCHIVE.into()),
            ArchiveError::Store(error) => error.into(),
        })
    }

    pub async fn delete_binary(&self, who: &Principal, name: &str, claim: Option<Claim>) -> Result<(), ServiceError> {
        self.permit(who, Permission::BinariesDelete)?;
        match self.records.delete_binary(name, claim.as_ref()).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict(0)) => Err(ServiceError::BinaryToDeleteNotFound(name.into())),
            Err(StoreError::Conflict(_)) => Err(ServiceError::BinaryInUse(self.records.users_of_binary(name).await?)),
            Err(error) => Err(error.into()),
        }
    }
}
