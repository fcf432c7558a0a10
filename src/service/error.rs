//! Why a use case did not do what was asked. `http` gives each its status code and its text.

use std::borrow::Cow;
use std::time::Duration;

use crate::core::idempotency::KeyError;
use crate::core::jobs::Failure;
use crate::jobs::StoreError;
use crate::ports::BlobError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("the parameter '{name}' was malformed: '{value}' is not {expected}")]
    BadParameter { name: String, value: String, expected: Cow<'static, str> },
    /// Of a context, or in a job's body.
    #[error("the setting '{name}' is '{value}', which is not {expected}")]
    BadSetting { name: String, value: String, expected: Cow<'static, str> },
    /// In a job's body, where only the server's own settings may stand.
    #[error("the setting '{name}' is not known; known are {known}")]
    UnknownSetting { name: String, known: String, nearest: Option<String> },
    #[error("cannot parse config: {0}")]
    BadConfig(String),
    #[error("{0}")]
    BadName(String),
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    /// Of what was asked for, in the metadata store.
    #[error("its record is too large: {size_bytes} bytes, and the metadata store takes {limit_bytes}")]
    RecordTooLarge { size_bytes: usize, limit_bytes: usize },
    #[error("the body ended early: {0}")]
    BodyCut(String),

    #[error("no binary {0}")]
    BinaryNotFound(String),
    #[error("no binary {0} to delete")]
    BinaryToDeleteNotFound(String),
    #[error("the binary is in use by {}", .0.join(", "))]
    BinaryInUse(Vec<String>),
    #[error("unsupported binary type {0}")]
    UnsupportedBinaryType(String),
    #[error("{0}")]
    BadBinary(String),

    #[error("no context {0}")]
    ContextNotFound(String),
    /// The same, in the words for a GET.
    #[error("no context {0}")]
    ContextUnknown(String),
    #[error("context {0} exists")]
    ContextExists(String),
    #[error("context init error: {}", .0.message)]
    ContextInit(Failure),
    #[error("the job's context failed to start: {}", .0.message)]
    AdHocContextInit(Failure),
    #[error("{max} contexts live already")]
    TooManyContexts { max: usize },
    #[error("the context is stopping")]
    ContextStopping,
    #[error("the driver of context {0} is not attached at the moment")]
    ContextDetached(String),

    #[error("no job {0}")]
    JobNotFound(String),
    #[error("{max} streams of events are open already")]
    TooManyStreams { max: usize },
    #[error("job {0} does not run")]
    JobNotRunning(String),
    #[error("app {0} not found")]
    AppNotFound(String),
    #[error("job loading failed: {}", .0.message)]
    JobLoading(Failure),
    #[error("malformed URL: {}", .0.message)]
    MalformedUrl(Failure),
    #[error("invalid job type for this context")]
    InvalidJobType,
    #[error("too many running jobs ({max_jobs}) for job context '{context}'")]
    NoSlots { context: String, max_jobs: u32 },
    #[error("too many queued jobs ({max}) for job context '{context}'")]
    QueueFull { context: String, max: usize },
    /// `what` is `active` or `queued`.
    #[error("too many {what} jobs ({max}) of user '{principal}'")]
    TooManyJobs { principal: String, what: &'static str, max: usize },
    #[error("retries were asked for in context {0}, which is not supervised")]
    RetriesUnsupervised(String),
    #[error("the job did not end in time")]
    SyncTimeout { job: String },
    #[error("the callback URL is refused: {0}")]
    BadCallback(String),
    #[error("the job has no result (yet)")]
    NoResult,
    #[error("the job has no callback: {0}")]
    NoCallback(&'static str),
    #[error("the job has not ended; its callback follows then")]
    CallbackNotYet,
    /// Retention took it; so nobody can be called of it any more.
    #[error("the job's result is no longer kept")]
    ResultNotKept,

    #[error("cannot store the data file: {0}")]
    DataNotStored(String),
    #[error("no data file {0}")]
    DataNotFound(String),
    #[error("job {job} has no attempt {attempt}")]
    NoAttempt { job: String, attempt: u32 },

    #[error("the idempotency key is refused: {0}")]
    BadKey(#[from] KeyError),
    #[error("another request has used the idempotency key")]
    KeyMismatch,
    #[error("another request of the idempotency key is at work")]
    KeyAtWork,
    #[error("too many idempotency keys are at work")]
    TooManyKeys,
    #[error("nothing says who asks")]
    NoCredentials,
    #[error("the credentials are wrong")]
    BadCredentials,
    /// Of this user from this address; it is told in the same way whether there is the user.
    #[error("too many failed attempts to log in")]
    TooManyAttempts { wait: Duration },
    #[error("too many credentials wait to be verified")]
    TooManyLogins,
    #[error("no users are configured")]
    NoUsers,
    #[error("no token {0}")]
    TokenNotFound(String),
    #[error("no such token can be made: {0}")]
    BadTokenWish(String),
    #[error("token {id} was made already by a request of this key")]
    TokenWasMade { id: String },
    #[error("{max} tokens are good already")]
    TooManyTokens { max: usize },
    /// The permission that lacks.
    #[error("not authorized for {0}")]
    Forbidden(&'static str),
    /// The metadata store. For logs; clients are told less.
    #[error("store unavailable: {0}")]
    StoreUnavailable(String),
    /// Another store, in words, with the setting that says where it is.
    #[error("{store} unavailable: {why}")]
    FilesUnavailable { store: &'static str, why: String },
    /// What was asked may have been done, or may be yet.
    #[error("no answer from the store: {0}")]
    StoreUnknown(String),
    /// The store answers; this content of it is damaged, or whoever has it does not answer.
    #[error("blob {sha256} cannot be read where it is stored: {why}")]
    ContentUnreadable { sha256: String, why: String },
    /// Of a job that has finished, whose result was to be the answer.
    #[error("the result of job {job} cannot be read: {why}")]
    ResultUnreadable { job: String, why: String },
    #[error("storage is full: {0}")]
    StorageFull(String),
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::StoreUnavailable(why),
            StoreError::Unknown(why) => Self::StoreUnknown(why),
            StoreError::Claimed => Self::KeyAtWork,
            StoreError::Full(why) => Self::StorageFull(why),
            StoreError::Conflict(_) => Self::StoreUnavailable(error.to_string()),
            StoreError::TooLarge { size_bytes, limit_bytes } => Self::RecordTooLarge { size_bytes, limit_bytes },
            StoreError::Corrupt { .. } => Self::Internal(error.to_string()),
        }
    }
}

impl From<BlobError> for ServiceError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full(why) => Self::StorageFull(why),
            BlobError::Unavailable(why) => {
                Self::FilesUnavailable { store: "store of binaries (`store.binaries`)", why }
            }
            BlobError::Unreadable { .. } => {
                Self::FilesUnavailable { store: "store of binaries (`store.binaries`)", why: error.to_string() }
            }
            BlobError::Damaged { sha256, why } => Self::ContentUnreadable { sha256, why },
            BlobError::NotFound(_) | BlobError::WrongHash { .. } => Self::Internal(error.to_string()),
        }
    }
}
