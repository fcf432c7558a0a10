//! The way to a bucket: a deadline and a permit for each call.

use std::future::Future;
use std::time::Duration;

use async_stream::try_stream;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutPayload, RetryConfig,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::credentials::CredentialsFile;
use super::faults::{Fault, Kind, innermost};
use crate::config;

/// Calls at work at once; more wait, within their deadline.
const PERMITS: usize = 64;
/// So much is copied within S3 in a second at least.
const COPIED_BYTES: u64 = 16 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections are forgotten before whoever is between takes them for dead.
const IDLE: Duration = Duration::from_secs(20);

/// Where credentials are, for want of a file. Other variables of AWS change nothing, so that [store.s3] says what is done.
const VARIABLES: [(&str, Key); 11] = [
    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Key::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Key::MetadataEndpoint),
];

pub(super) type Result<T> = std::result::Result<T, Fault>;

#[derive(Debug)]
pub(super) struct Link {
    settings: config::S3,
    /// What all keys begin with.
    root: Path,
    /// For short calls: one that is not answered is tried again, with another connection, within its deadline.
    quick: AmazonS3,
    /// For those that may take their deadline: sending content, and copying.
    patient: AmazonS3,
    permits: Semaphore,
    /// Of other clients of the same endpoint.
    authorities: Vec<u8>,
}

impl Link {
    /// Connects with the first call.
    pub(super) fn open(settings: &config::S3) -> Result<Self> {
        let unusable = |why: &str| Fault::new(settings, Kind::Settings, why);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(settings.bucket.as_deref().unwrap_or_default())
            .with_region(region(settings))
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(retries(settings.deadline));
        if let Some(endpoint) = endpoint(settings) {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(path) = &settings.credentials_file {
            let file = CredentialsFile::new(path);
            file.read().map_err(|why| unusable(&why))?;
            builder = builder.with_credentials(std::sync::Arc::new(file));
        } else {
            for (variable, key) in VARIABLES {
                if let Ok(value) = std::env::var(variable) {
                    builder = builder.with_config(key, value);
                }
            }
        }
        let authorities = authorities(settings).map_err(|why| unusable(&why))?;
        let client = |options: ClientOptions| {
            let store = builder.clone().with_client_options(options).with_allow_http(settings.allow_http).build();
            store.map_err(|error| {
                unusable(&format!("{error}. Look at [store.s3], and at the AWS_* variables of this server"))
            })
        };
        let found = Certificate::from_pem_bundle(&authorities).unwrap_or_default();
        let options = found.into_iter().fold(ClientOptions::new(), ClientOptions::with_root_certificate);
        let options = options
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT.min(settings.deadline / 3))
            .with_pool_idle_timeout(IDLE);
        Ok(Self {
            root: Path::from(settings.path.trim_matches('/')),
            quick: client(options.clone().with_read_timeout(settings.deadline / 3))?,
            patient: client(options)?,
            permits: Semaphore::new(PERMITS),
            authorities,
            settings: settings.clone(),
        })
    }

    /// Tells a want of credentials from all else: without file and variables, `object_store` asks what a machine of AWS has.
    pub(super) async fn credentials(&self) -> Result<()> {
        let credentials = self.quick.credentials().get_credential();
        let why = match timeout(self.settings.deadline, credentials).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => innermost(&error),
            Err(_) => {
                format!("no answer within store.s3.deadline ({})", config::duration::text(self.settings.deadline))
            }
        };
        let gives = |variable| std::env::var_os(variable).is_some();
        let passes = gives("AWS_WEB_IDENTITY_TOKEN_FILE")
            || gives("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || gives("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let kind = if passes { Kind::Unreachable } else { Kind::Settings };
        let text = format!(
            "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for this server, or store.s3.credentials-file; \
             what gives them to this machine or container failed ({why})"
        );
        Err(Fault::new(&self.settings, kind, &text))
    }

    pub(super) fn settings(&self) -> &config::S3 {
        &self.settings
    }

    /// In PEM, beside the system's.
    pub(super) fn authorities(&self) -> &[u8] {
        &self.authorities
    }

    pub(super) fn store(&self) -> &AmazonS3 {
        &self.quick
    }

    pub(super) fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.root))
    }

    /// The part of a key that is below the store's path.
    fn key(&self, path: &Path) -> Option<String> {
        Some(path.as_ref().strip_prefix(self.root.as_ref())?.strip_prefix('/')?.to_owned())
    }

    pub(super) async fn bounded<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        self.within(self.settings.deadline, what, work).await
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        what: &'static str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let permitted = async {
            let _permit = self.permits.acquire().await;
            work.await
        };
        let done = timeout(deadline, permitted).await.map_err(|_| Fault::deadline(&self.settings, what))?;
        done.map_err(|error| Fault::of(&self.settings, what, &error))
    }

    /// Keys in their order, below the store's path; those in a directory, or all behind `after`.
    pub(super) fn list(
        &self,
        directory: Option<&str>,
        after: Option<&str>,
    ) -> BoxStream<'_, Result<(String, ObjectMeta)>> {
        let prefix = directory.map_or_else(|| self.root.clone(), |directory| self.path(directory));
        let after = after.map(|after| self.path(after));
        let mut found = match &after {
            Some(after) => self.quick.list_with_offset(Some(&prefix), after),
            None => self.quick.list(Some(&prefix)),
        };
        let keys = try_stream! {
            while let Some(meta) = self.bounded("list keys", found.try_next()).await? {
                if let Some(key) = self.key(&meta.location) {
                    yield (key, meta);
                }
            }
        };
        keys.boxed()
    }

    /// Replaces nothing: a key is used once.
    pub(super) async fn put(&self, key: &str, content: Bytes) -> Result<()> {
        let (path, payload) = (self.path(key), PutPayload::from(content));
        self.bounded("take an object", self.patient.put(&path, payload)).await.map(drop)
    }

    /// `Exists` if it is there.
    pub(super) async fn create(&self, key: &str, content: Bytes) -> Result<()> {
        let (path, payload) = (self.path(key), PutPayload::from(content));
        self.bounded("make an object", self.quick.put_opts(&path, payload, PutMode::Create.into())).await.map(drop)
    }

    /// A small object.
    pub(super) async fn get(&self, key: &str) -> Result<Bytes> {
        let path = self.path(key);
        self.bounded("give an object", async { self.quick.get(&path).await?.bytes().await }).await
    }

    /// When it was written, by the store's clock.
    pub(super) async fn modified(&self, key: &str) -> Result<DateTime<Utc>> {
        Ok(self.bounded("tell of an object", self.quick.head(&self.path(key))).await?.last_modified)
    }

    /// A part of an object, not empty, as it comes.
    pub(super) async fn stream(
        &self,
        key: &str,
        begin: u64,
        end: u64,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>> {
        let path = self.path(key);
        let options = GetOptions { range: Some(GetRange::Bounded(begin..end)), ..GetOptions::default() };
        Ok(self.bounded("give an object", self.quick.get_opts(&path, options)).await?.into_stream().boxed())
    }

    /// Within S3; it is there afterwards, whole.
    pub(super) async fn copy(&self, from: &str, to: &str, size_bytes: u64) -> Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        let deadline = self.settings.deadline + Duration::from_secs(size_bytes / COPIED_BYTES);
        self.within(deadline, "copy an object", self.patient.copy(&from, &to)).await?;
        // A copy's failure may come in an answer that began well.
        let meta = self.bounded("tell of an object", self.quick.head(&to)).await?;
        if meta.size == size_bytes {
            return Ok(());
        }
        Err(Fault::new(&self.settings, Kind::Other, &format!("a copy has {} bytes, and not {size_bytes}", meta.size)))
    }

    /// What is not there is no error.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let delete = async || self.bounded("delete an object", self.quick.delete(&path)).await;
        let deleted = match delete().await {
            // `object_store` does not repeat it. A key is used once, so it does no harm.
            Err(fault) if fault.kind == Kind::Unreachable => delete().await,
            deleted => deleted,
        };
        match deleted {
            Err(fault) if fault.kind == Kind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    pub(super) async fn begin_upload(&self, key: &str) -> Result<Box<dyn MultipartUpload>> {
        let path = self.path(key);
        self.bounded("begin an upload", self.patient.put_multipart(&path)).await
    }

    /// Of a content that is read.
    pub(super) async fn next(
        &self,
        content: &mut BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Option<Bytes>> {
        self.bounded("give the rest of an object", content.try_next()).await
    }
}

/// In PEM; none without the setting.
fn authorities(settings: &config::S3) -> std::result::Result<Vec<u8>, String> {
    let Some(path) = &settings.tls_ca else { return Ok(Vec::new()) };
    let said = |why: &str| format!("store.s3.tls-ca ({}) {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| said(&format!("cannot be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(said("has no certificate in PEM")),
    }
}

fn region(settings: &config::S3) -> String {
    let variable = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
    let region = settings.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    region.unwrap_or_else(|| "us-east-1".into())
}

/// With the bucket, if that is part of the host's name.
fn endpoint(settings: &config::S3) -> Option<String> {
    let endpoint = settings.endpoint.as_deref()?.trim_end_matches('/');
    match (endpoint.split_once("://"), settings.bucket.as_deref()) {
        (Some((scheme, host)), Some(bucket)) if !settings.path_style => Some(format!("{scheme}://{bucket}.{host}")),
        _ => Some(endpoint.to_owned()),
    }
}

/// The last failure is told before the deadline says nothing but itself.
fn retries(deadline: Duration) -> RetryConfig {
    let init_backoff = Duration::from_millis(50);
    let backoff = BackoffConfig { init_backoff, max_backoff: (deadline / 8).max(init_backoff), base: 2.0 };
    RetryConfig { backoff, max_retries: 16, retry_timeout: deadline / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_part_of_the_path_or_of_the_host() {
        let settings = config::S3 {
            endpoint: Some("https://s3.example.org:9000/".into()),
            bucket: Some("jobs".into()),
            ..config::S3::default()
        };
        assert_eq!(endpoint(&settings).as_deref(), Some("https://s3.example.org:9000"));
        let by_host = config::S3 { path_style: false, ..settings };
        assert_eq!(endpoint(&by_host).as_deref(), Some("https://jobs.s3.example.org:9000"));
        assert_eq!(endpoint(&config::S3 { endpoint: None, ..by_host }), None);
    }
}
