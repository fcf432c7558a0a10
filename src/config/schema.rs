//! Every key, its unit and its default. `conf/doyen.toml` is the commented reference; a test holds the two together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::history::History;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    pub node: Node,
    pub http: Http,
    pub tls: Tls,
    pub jobs: Jobs,
    pub contexts: Contexts,
    pub drivers: Drivers,
    pub store: Store,
    pub security: Security,
    pub callbacks: Callbacks,
    pub hocon: Hocon,
    pub log: Log,
    pub idempotency: Idempotency,
    pub retention: Retention,
    pub events: Events,
    pub zookeeper: ZooKeeper,
    pub history: History,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Node {
    /// Unique in the cluster, without white space.
    pub name: String,
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Http {
    pub listen: SocketAddr,
    /// Allows a `listen` address that is not loopback although nothing authenticates.
    pub insecure: bool,
    /// Base URL by which drivers reach this server; without it, from `listen`.
    pub advertise: Option<String>,
    pub max_connections: usize,
    /// Requests at work at once; more get 503.
    pub max_requests: usize,
    /// Bodies of everything but uploads.
    pub max_body_bytes: u64,
    pub max_upload_bytes: u64,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// Names, besides addresses and `localhost`, by which browsers may call; `*` is any.
    pub hosts: Vec<String>,
    /// A body of which nothing comes for so long is given up.
    #[serde(with = "super::duration")]
    pub body_timeout: Duration,
    /// How long a stop waits for requests under way.
    #[serde(with = "super::duration")]
    pub shutdown_grace: Duration,
}

/// Files are in PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// The server's own certificate first. With it and `key`, `http.listen` speaks HTTPS only.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Authorities whose client certificates are taken.
    pub client_ca: Option<PathBuf>,
    /// Refuses requests without a client certificate; drivers and probes need none.
    pub require_client_certificate: bool,
    /// Certificates or authorities that drivers trust; without it, exactly `certificate`.
    pub driver_trust: Option<PathBuf>,
    #[serde(with = "super::duration")]
    pub reload_interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Jobs {
    #[serde(with = "super::duration")]
    pub sync_timeout: Duration,
    /// How often a job that is lost with its driver runs again, when it says nothing of it.
    pub retries: u32,
    /// The most that a job may ask for.
    pub max_retries: u32,
    /// Time before the first retry; doubles for each further one.
    #[serde(with = "super::duration")]
    pub retry_backoff: Duration,
    /// The longest that a client may wait with `timeout=` or `wait=`.
    #[serde(with = "super::duration")]
    pub max_wait: Duration,
    pub max_per_context: u32,
    /// Whether a job that finds no free place waits for one when neither it nor its context says.
    pub queue: bool,
    pub max_queued_per_context: usize,
    /// 0 is no limit.
    pub max_queued_per_principal: usize,
    /// Jobs that have not ended, queued ones among them; 0 is no limit.
    pub max_active_per_principal: usize,
    pub list_limit: usize,
    pub max_list_limit: usize,
    pub inline_result_bytes: u64,
    pub max_result_bytes: u64,
    pub log_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Contexts {
    #[serde(with = "super::duration")]
    pub creation_timeout: Duration,
    /// What a context gets that names no `context-factory`.
    pub default_factory: String,
    pub max: usize,
    /// Time for running jobs when a context is stopped.
    #[serde(with = "super::duration")]
    pub stop_grace: Duration,
    /// A DELETE that takes longer answers 202.
    #[serde(with = "super::duration")]
    pub stop_wait: Duration,
    /// A driver that reaches no server for so long ends itself.
    #[serde(with = "super::duration")]
    pub orphan_timeout: Duration,
    /// How long the server waits for a driver that it lost sight of, before the context has failed. Longer than `orphan-timeout`.
    #[serde(with = "super::duration")]
    pub fence_wait: Duration,
    /// Whether a context whose driver is lost gets another.
    pub supervise: bool,
    /// So often in a row.
    pub max_restarts: u32,
    /// Time before the first; doubles for each further one.
    #[serde(with = "super::duration")]
    pub restart_backoff: Duration,
    /// A context that ran so long is well: its restarts are forgotten.
    #[serde(with = "super::duration")]
    pub healthy_after: Duration,
    /// A context that had no job for so long is stopped; 0 is never.
    #[serde(with = "super::duration")]
    pub idle_timeout: Duration,
    /// A context is stopped at this age; 0 is never.
    #[serde(with = "super::duration")]
    pub max_lifetime: Duration,
}

/// Kinds of driver by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Drivers(pub BTreeMap<String, Driver>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Driver {
    /// A name is looked up in `PATH`.
    pub executable: String,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Context settings that a client may override; keys may be dotted.
    pub settings: BTreeMap<String, toml::Value>,
    pub log_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Store {
    /// Where records are kept.
    pub metadata: Metadata,
    /// Memory for pages of the embedded database.
    pub cache_bytes: usize,
    /// The binaries that each driver keeps beside it.
    pub driver_cache_bytes: u64,
    /// An archive that unpacks to more is refused.
    pub max_unpacked_bytes: u64,
    pub max_archive_entries: u64,
    pub binaries: super::Binaries,
    pub shared: super::Shared,
    pub hdfs: super::Hdfs,
    pub s3: super::S3,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Security {
    /// Hosts that `cp=http://…` may name; `*` is any, `*.example.org` any below.
    pub cp_hosts: Vec<String>,
    /// Directories that `cp=file:…` and `local:` may name. Empty: none.
    pub cp_directories: Vec<PathBuf>,
    pub callback_hosts: Vec<String>,
    /// Lets `cp` and callbacks reach link-local addresses (where clouds keep credentials).
    pub allow_link_local: bool,
    /// Who may use this server. None: everybody, for everything.
    pub users_file: Option<PathBuf>,
    /// What a browser shows when it asks for a password.
    pub realm: String,
    /// Users see and use only contexts of their own, which run as them.
    pub use_as_proxy_user: bool,
    /// Lets everybody read `/metrics`.
    pub open_metrics: bool,
    /// The longest that a token may be good for.
    #[serde(with = "super::duration")]
    pub max_token_life: Duration,
    /// Proxies that tell a client's address in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpAddr>,
    /// Words of permissions by the name of the role.
    pub roles: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Callbacks {
    /// For one attempt; a second more for each MiB that is sent.
    #[serde(with = "super::duration")]
    pub timeout: Duration,
    pub attempts: u32,
    /// No attempt is made later than this after the job's end.
    #[serde(with = "super::duration")]
    pub max_age: Duration,
    /// Time before the second attempt; doubles for each further one.
    #[serde(with = "super::duration")]
    pub backoff: Duration,
    /// The longest backoff, and the longest `Retry-After` that is obeyed.
    #[serde(with = "super::duration")]
    pub max_backoff: Duration,
    /// Deliveries at work at once.
    pub concurrency: usize,
    /// Of them, to one host and port.
    pub concurrency_per_target: usize,
    /// Files with a secret each; every one signs.
    pub secret_files: Vec<PathBuf>,
    /// Environment variables with a secret each.
    pub secret_variables: Vec<String>,
}

/// Limits of job and context configurations in HOCON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Hocon {
    pub max_depth: usize,
    pub max_values: usize,
    /// Size of the text after substitution.
    pub max_expanded_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    /// Also writes `doyen.<node-name>.log` there.
    pub directory: Option<PathBuf>,
    /// Also appends the audit log there.
    pub audit_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

impl Tls {
    /// The file that drivers trust, as an absolute path.
    pub fn trusted_by_drivers(&self) -> Option<String> {
        let file = self.driver_trust.as_ref().or(self.certificate.as_ref())?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        Some(file.to_string_lossy().into_owned())
    }
}

/// Requests that bring an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Idempotency {
    /// How long a key is remembered.
    #[serde(with = "super::duration")]
    pub keep: Duration,
    /// Keys that are remembered; beyond, the oldest are forgotten.
    pub max_keys: u64,
    /// How long a request waits for another one of its key that is at work; then it gets 409.
    #[serde(with = "super::duration")]
    pub wait: Duration,
}

/// What is removed in time; `off` is never. docs/adr/0015.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Retention {
    /// Between two passes.
    #[serde(with = "super::duration")]
    pub interval: Duration,
    /// Jobs that one commit removes.
    pub batch: usize,
    /// Since a job's end.
    #[serde(with = "super::duration::or_off")]
    pub jobs_age: Option<Duration>,
    /// The newest are kept; 0 is no limit.
    pub jobs_count: u64,
    #[serde(with = "super::duration::or_off")]
    pub results_age: Option<Duration>,
    #[serde(with = "super::duration::or_off")]
    pub logs_age: Option<Duration>,
    #[serde(with = "super::duration::or_off")]
    pub contexts_age: Option<Duration>,
    #[serde(with = "super::duration::or_off")]
    pub binaries_unused_age: Option<Duration>,
    /// Content that nothing refers to goes after this time. Longer than `contexts.fence-wait`.
    #[serde(with = "super::duration")]
    pub unreferenced_age: Duration,
}

/// `/v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Events {
    /// Streams at once; more get 503.
    pub max_streams: usize,
    /// Between two signs of life on a stream where nothing happens.
    #[serde(with = "super::duration")]
    pub heartbeat: Duration,
    /// A reader that takes nothing for so long is dropped.
    #[serde(with = "super::duration")]
    pub stalled_after: Duration,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Node {
    fn default() -> Self {
        Self { name: "doyen".into(), data_dir: "doyen-data".into() }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            insecure: false,
            advertise: None,
            max_connections: 4096,
            max_requests: 1024,
            max_body_bytes: 4 * MIB,
            max_upload_bytes: 2 * GIB,
            cors_origins: Vec::new(),
            hosts: Vec::new(),
            body_timeout: 60 * SECOND,
            shutdown_grace: 30 * SECOND,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            require_client_certificate: false,
            driver_trust: None,
            reload_interval: 10 * SECOND,
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            sync_timeout: 10 * SECOND,
            retries: 0,
            max_retries: 20,
            retry_backoff: SECOND,
            max_wait: 3600 * SECOND,
            max_per_context: 8,
            queue: false,
            max_queued_per_context: 10_000,
            max_queued_per_principal: 0,
            max_active_per_principal: 0,
            list_limit: 50,
            max_list_limit: 10_000,
            inline_result_bytes: 64 * KIB,
            max_result_bytes: GIB,
            log_bytes: 16 * MIB,
        }
    }
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            creation_timeout: 60 * SECOND,
            default_factory: "pyspark".into(),
            max: 200,
            stop_grace: Duration::ZERO,
            stop_wait: 30 * SECOND,
            orphan_timeout: 600 * SECOND,
            fence_wait: 660 * SECOND,
            supervise: false,
            max_restarts: 3,
            restart_backoff: SECOND,
            healthy_after: 600 * SECOND,
            idle_timeout: Duration::ZERO,
            max_lifetime: Duration::ZERO,
        }
    }
}

impl Default for Drivers {
    fn default() -> Self {
        let python = |module: &str| Driver {
            executable: "python3".into(),
            arguments: vec!["-m".into(), module.into()],
            ..Driver::default()
        };
        let mut pyspark = python("doyen_driver");
        pyspark.settings.insert("spark.master".into(), toml::Value::String("local[*]".into()));
        Self(BTreeMap::from([("python".into(), python("doyen_driver")), ("pyspark".into(), pyspark)]))
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            metadata: Metadata::Embedded,
            cache_bytes: 32 * MIB as usize,
            driver_cache_bytes: GIB,
            max_unpacked_bytes: 4 * GIB,
            max_archive_entries: 100_000,
            binaries: super::Binaries::default(),
            shared: super::Shared::default(),
            hdfs: super::Hdfs::default(),
            s3: super::S3::default(),
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            cp_hosts: vec!["*".into()],
            cp_directories: Vec::new(),
            callback_hosts: vec!["*".into()],
            allow_link_local: false,
            users_file: None,
            realm: "Sparkjobserver Private".into(),
            use_as_proxy_user: false,
            open_metrics: false,
            max_token_life: 366 * 24 * 3600 * SECOND,
            trusted_proxies: Vec::new(),
            roles: built_in_roles(),
        }
    }
}

fn built_in_roles() -> BTreeMap<String, Vec<String>> {
    let role = |name: &str, words: &[&str]| (name.to_owned(), words.iter().map(|&word| word.to_owned()).collect());
    let read = ["binaries:read", "contexts:read", "data:read", "jobs:read", "metrics:read", "tokens:own"];
    let mut work = vec!["binaries", "data:read", "data:upload", "data:delete", "jobs", "metrics:read", "tokens:own"];
    work.extend(["contexts:read", "contexts:start", "contexts:delete"]);
    BTreeMap::from([role("admin", &["*"]), role("user", &work), role("reader", &read)])
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            timeout: 10 * SECOND,
            attempts: 30,
            max_age: 24 * 3600 * SECOND,
            backoff: 10 * SECOND,
            max_backoff: 3600 * SECOND,
            concurrency: 128,
            concurrency_per_target: 16,
            secret_files: Vec::new(),
            secret_variables: Vec::new(),
        }
    }
}

impl Default for Hocon {
    fn default() -> Self {
        Self { max_depth: 100, max_values: 50_000, max_expanded_bytes: 4 * MIB as usize }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto, directory: None, audit_file: None }
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { keep: 24 * 3600 * SECOND, max_keys: 100_000, wait: 30 * SECOND }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            interval: 600 * SECOND,
            batch: 100,
            jobs_age: Some(90 * DAY),
            jobs_count: 1_000_000,
            results_age: None,
            logs_age: None,
            contexts_age: Some(90 * DAY),
            binaries_unused_age: None,
            unreferenced_age: 3600 * SECOND,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { max_streams: 256, heartbeat: 15 * SECOND, stalled_after: 60 * SECOND }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// In the data directory.
    #[default]
    Embedded,
    ZooKeeper,
}

/// Used with `store.metadata = "zookeeper"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ZooKeeper {
    /// `host:port` of each server.
    pub servers: Vec<String>,
    /// The znode that all records stand under.
    pub chroot: String,
    #[serde(with = "super::duration")]
    pub session_timeout: Duration,
    /// A change that ZooKeeper has not taken for so long is answered with an error.
    #[serde(with = "super::duration")]
    pub commit_timeout: Duration,
    /// Holds `user:password` of ZooKeeper's scheme `digest`.
    pub auth_file: Option<PathBuf>,
    /// The authorities that have issued the servers' certificates, in PEM. With it, the servers are spoken to over TLS.
    pub tls_ca: Option<PathBuf>,
    /// A certificate to show them, in PEM.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

impl Default for ZooKeeper {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:2181".into()],
            chroot: "/doyen".into(),
            session_timeout: Duration::from_secs(6),
            commit_timeout: Duration::from_secs(10),
            auth_file: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
        }
    }
}
