//! One node: opens its stores, starts its actors, serves, and stops in order.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use doyen::adapters::archives::StoredArchives;
use doyen::adapters::data_files::LocalDataFiles;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::adapters::outbound::HttpOutbound;
use doyen::adapters::process::ProcessLauncher;
use doyen::adapters::users_file::{UsersFile, UsersFileError};
use doyen::config::{Config, Tls};
use doyen::http;
use doyen::jobs::callbacks::{Callbacks, Secrets};
use doyen::jobs::context::Shared;
use doyen::jobs::supervisor::stop_and_wait;
use doyen::jobs::{ActiveJobs, Contexts, History, Records, Retention};
use doyen::ports::{BinaryStore, MetaStore, Outbound, UserDirectory};
use doyen::runtime::pace::Pace;
use doyen::runtime::{clock, tls};
use doyen::service::{Parts, Service};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::belonging::{Looked, Opened};
use crate::possession::Possessed;
use crate::stores;

/// Why the node did not start; each has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] doyen::adapters::embedded::data_dir::DataDirError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Users(#[from] UsersFileError),
    #[error(transparent)]
    ZooKeeper(#[from] doyen::adapters::zookeeper::OpenError),
    #[error("an import into {place} has not come to its end")]
    HalfImported { place: String },
    /// For who makes nothing.
    #[error("there are no binaries of a server in {place}: look at {settings}")]
    NoBinaries { place: String, settings: &'static str },
    /// It is wrong as it stands in the configuration.
    #[error("{0}")]
    Setting(String),
    /// Nothing was taken.
    #[error(transparent)]
    Belongs(#[from] doyen::core::belonging::Refusal),
    /// It was this server's until now.
    #[error("{0}")]
    Dispossessed(String),
    /// A store does not answer; it may later.
    #[error("{0}")]
    Away(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl StartError {
    /// Trying again as it is configured may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::ZooKeeper(error) => error.is_passing(),
            Self::Away(_) => true,
            _ => false,
        }
    }
}

/// Between two tries to open a store: the first time, and at most.
const STORE_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// A store that takes longer to be opened lets probes wait no longer.
const SOON: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT. SIGTERM leaves the drivers running, for the server that is started next; SIGINT (Ctrl-C)
/// stops them too.
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    let users = users(&config)?;
    warn_if_open(&config);
    stores::check(&config)?;
    stores::warn_if_open(&config);
    let data_dir = Arc::new(DataDir::open(&config.node.data_dir)?);
    let secure = secure(&config)?;
    let listener = TcpListener::bind(config.http.listen)
        .await
        .map_err(|source| StartError::Listen { address: config.http.listen, source })?;
    let address = listener.local_addr().context("the listener has no address")?;

    let waiting = Waiting::new(&listener, &config, secure.clone());
    let (stores, possessed) = tokio::select! {
        stores = open_stores(&config, &data_dir, waiting) => stores?,
        // Nothing is begun yet. Drivers of an earlier server are left as they are.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let meta = Arc::clone(&stores.0);
    let (stop, serving) = watch::channel(true);
    let (service, contexts) = build(&config, &data_dir, stores, address, users, serving.clone()).await?;
    tokio::spawn(service.clone().watch_stores());
    let server = tokio::spawn({
        let (settings, service) = (config.http.clone(), service.clone());
        let open = config.security.users_file.is_none();
        async move { http::serve(listener, http::router(service), &settings, secure, open, serving).await }
    });
    println!("ready {}://{address}", scheme(&config));
    // A closed stdout is no reason not to serve.
    let _ = std::io::stdout().flush();
    tracing::info!(%address, node = %config.node.name, data_dir = %data_dir.root().display(), "ready");

    let mut lost = None;
    let stop_drivers = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => true,
        why = possessed.until_lost() => {
            lost = Some(why);
            false
        }
    };
    tracing::info!(stop_drivers, "stopping");
    if stop_drivers {
        let all = contexts.registry().all();
        tokio::select! {
            _ = futures::future::join_all(all.iter().map(|handle| stop_and_wait(handle, false))) => {}
            _ = interrupt.recv() => tracing::warn!("stopped before all drivers were"),
        }
    }
    stop.send_replace(false);
    tokio::select! {
        ended = server => ended.context("the listener failed")?,
        // Asked again: not willing to wait for what is under way.
        _ = terminate.recv() => tracing::warn!("stopped before all requests were answered"),
        _ = interrupt.recv() => tracing::warn!("stopped before all requests were answered"),
    }
    service.detach_drivers().await;
    service.stop_callbacks().await;
    // Who hangs is not waited for: a sign of life that is left says no more than that it was here.
    let _ = tokio::join!(timeout(LAST_WORDS, possessed.end()), meta.close());
    tracing::info!("stopped");
    lost.map_or(Ok(()), |why| Err(StartError::Dispossessed(why)))
}

fn users(config: &Config) -> Result<Option<Arc<dyn UserDirectory>>, StartError> {
    let Some(path) = &config.security.users_file else { return Ok(None) };
    if !config.http.listen.ip().is_loopback() && config.tls.certificate.is_none() {
        tracing::warn!(listen = %config.http.listen, "passwords and tokens come unencrypted: put TLS in front");
    }
    let users = UsersFile::open(path, config.security.role_grants())?;
    tokio::spawn(users.clone().watch());
    Ok(Some(Arc::new(users)))
}

/// `http.insecure` lets it start; nobody shall believe later that there was no warning.
fn warn_if_open(config: &Config) {
    let authenticated = config.security.users_file.is_some() || config.tls.require_client_certificate;
    let listen = config.http.listen;
    if !authenticated && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "whoever reaches this address can run code here: nothing authenticates clients (http.insecure)");
    }
}

fn handler(kind: SignalKind) -> Result<Signal, StartError> {
    Ok(signal(kind).context("cannot handle signals")?)
}

/// TLS as configured; its files are looked at from now on.
fn secure(config: &Config) -> Result<Option<http::Secure>, StartError> {
    let Tls { certificate, key, client_ca, .. } = &config.tls;
    let (Some(certificate), Some(key)) = (certificate.clone(), key.clone()) else { return Ok(None) };
    let files = tls::Files { certificate, key, client_ca: client_ca.clone() };
    let (sender, current) = watch::channel(Arc::new(tls::load(&files)?));
    tokio::spawn(tls::renew(files, config.tls.reload_interval, sender, handler(SignalKind::hangup())?));
    Ok(Some(http::Secure { config: current, certificate_required: config.tls.require_client_certificate }))
}

fn scheme(config: &Config) -> &'static str {
    if config.tls.certificate.is_some() { "https" } else { "http" }
}

/// Answers for a server that cannot work yet.
struct Waiting<'a> {
    listener: &'a TcpListener,
    config: &'a Config,
    secure: Option<http::Secure>,
    /// Why it waits, for anybody who asks; how it is told to end; and its task: once it has begun.
    serving: Option<(watch::Sender<String>, watch::Sender<bool>, JoinHandle<()>)>,
}

impl<'a> Waiting<'a> {
    fn new(listener: &'a TcpListener, config: &'a Config, secure: Option<http::Secure>) -> Self {
        Self { listener, config, secure, serving: None }
    }

    /// On the same socket: what is not accepted by then, the server accepts later.
    fn because(&mut self, why: &str) -> Result<(), StartError> {
        if let Some((reason, ..)) = &self.serving {
            reason.send_replace(why.into());
            return Ok(());
        }
        let socket = self.listener.as_fd().try_clone_to_owned().context("cannot wait for the stores")?;
        let listener = TcpListener::from_std(socket.into()).context("cannot wait for the stores")?;
        let ((reason, why), (stop, serving)) = (watch::channel(why.to_owned()), watch::channel(true));
        let (settings, secure) = (self.config.http.clone(), self.secure.clone());
        let open = self.config.security.users_file.is_none();
        let task = async move { http::serve(listener, http::waiting(why), &settings, secure, open, serving).await };
        self.serving = Some((reason, stop, tokio::spawn(task)));
        Ok(())
    }

    async fn end(self) {
        if let Some((_, stop, mut task)) = self.serving {
            stop.send_replace(false);
            // It answers at once, so there is little under way; who reads slowly does not hold up the start.
            if timeout(SOON, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

type Stores = (Arc<dyn MetaStore>, Arc<dyn BinaryStore>);

/// For a store of binaries, at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How they are told.
const METADATA: &str = "the metadata store";
const BINARIES: &str = "the store of binaries";

/// Opens them in turn. What lacks is made once nothing here belongs to another metadata store.
async fn open_stores(
    config: &Config,
    data_dir: &Arc<DataDir>,
    mut waiting: Waiting<'_>,
) -> Result<(Stores, Possessed), StartError> {
    let (settings, of_binaries) = (stores::metadata_setting(config), stores::binaries_setting(config));
    let find = async || stores::find_metadata(config, data_dir, false).await;
    let meta = patiently(&mut waiting, METADATA, &settings, find).await?.map(Arc::new);
    if let Some(meta) = &meta {
        stores::refuse_half_import(meta).await?;
    }
    let find = async || stores::find_binaries(config, data_dir).await;
    let blobs = patiently(&mut waiting, BINARIES, &of_binaries, find).await?;
    if meta.is_none() || blobs.is_none() {
        let looked = Looked::new(config, data_dir, meta.as_ref(), blobs.as_ref());
        patiently(&mut waiting, BINARIES, &of_binaries, async || looked.judge().await).await?;
    }
    let mut blobs = match blobs {
        Some(blobs) => blobs,
        None => {
            let make = async || stores::make_binaries(config, data_dir).await;
            patiently(&mut waiting, BINARIES, &of_binaries, make).await?
        }
    };
    let meta = match meta {
        Some(meta) => meta,
        None => {
            let make = async || stores::make_metadata(config, data_dir, false).await;
            Arc::new(patiently(&mut waiting, METADATA, &settings, make).await?)
        }
    };
    let sweeping = blobs.sweeping.take();
    let (store, owned) = (Arc::clone(&blobs.store), blobs.owned.clone());
    let opened = Opened::new(config, data_dir, &meta, &blobs);
    patiently(&mut waiting, BINARIES, &of_binaries, async || opened.settle().await).await?;
    let (store, possessed) = Possessed::keep(config, data_dir, &meta, store, owned).await?;
    waiting.end().await;
    if let Some(sweeping) = sweeping {
        tokio::spawn(sweeping);
    }
    Ok(((Arc::clone(&meta.store), store), possessed))
}

/// Waits for a store that is away, so that nothing has to start this process again and again meanwhile; what is configured
/// wrongly ends it. Probes are answered soon, however long one try takes.
async fn patiently<T>(
    waiting: &mut Waiting<'_>,
    store: &str,
    setting: &str,
    open: impl AsyncFn() -> Result<T, StartError>,
) -> Result<T, StartError> {
    let (mut pause, mut pace) = (STORE_AGAIN.0, Pace::default());
    loop {
        let mut opening = std::pin::pin!(open());
        let opened = match timeout(SOON, &mut opening).await {
            Ok(opened) => opened,
            Err(_) => {
                if waiting.serving.is_none() {
                    // Libraries tell of their tries, and not of our settings.
                    tracing::warn!("{store}, {setting}, has not answered yet");
                }
                waiting.because(&format!("{store} has not answered yet"))?;
                opening.await
            }
        };
        match opened {
            Err(error) if error.is_passing() => {
                if let Some(left_out) = pace.tells(&error.to_string(), clock::instant()) {
                    tracing::warn!(%error, left_out, "a store is away; trying again");
                }
            }
            opened => return opened,
        }
        waiting.because(&format!("{store} does not answer"))?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(STORE_AGAIN.1);
    }
}

async fn build(
    config: &Config,
    data_dir: &DataDir,
    (meta, blobs): Stores,
    address: SocketAddr,
    users: Option<Arc<dyn UserDirectory>>,
    serving: watch::Receiver<bool>,
) -> Result<(Service, Contexts), StartError> {
    let records = Records::new(meta).over_segments(Arc::clone(&blobs), config.history.cache_bytes);
    let outbound: Arc<dyn Outbound> = Arc::new(HttpOutbound::new(config.security.clone()));
    let data = LocalDataFiles::open(&data_dir.data()).context("cannot open the data files")?;
    let program = std::env::current_exe().context("cannot find the own program")?;
    let config = Arc::new(config.clone());
    let active = ActiveJobs::default();
    let advertised = config.http.advertise.clone();
    let advertised = advertised.unwrap_or_else(|| format!("{}://{}", scheme(&config), reachable(address)));
    tokio::spawn(doyen::jobs::idempotency::keep_within(records.clone(), config.idempotency.clone()));
    let secrets = Secrets::load(&config.callbacks).context("cannot sign callbacks")?;
    let callbacks =
        Callbacks::start(Arc::clone(&outbound), Arc::clone(&blobs), records.clone(), config.callbacks.clone(), secrets);
    let launcher = ProcessLauncher::new(program, data_dir.drivers()).hiding(&config.callbacks.secret_variables);
    let shared = Shared {
        config: Arc::clone(&config),
        records: records.clone(),
        active: active.clone(),
        launcher: Arc::new(launcher),
        blobs: Arc::clone(&blobs),
        callbacks: callbacks.clone(),
        registry: doyen::jobs::supervisor::Registry::default(),
        servers: watch::channel(vec![advertised]).1,
    };
    let contexts =
        Contexts::start(shared).await.map_err(|e| anyhow::anyhow!(e).context("cannot take up the contexts"))?;
    if let Some(segments) = records.segments().filter(|_| config.packs_history()) {
        History::start(records.clone(), Arc::clone(segments), &config.history);
    }
    let retention = Retention::start(records.clone(), Arc::clone(&blobs), &config.retention);
    let parts = Parts {
        config,
        records,
        archives: Arc::new(StoredArchives::new(Arc::clone(&blobs))),
        blobs,
        contexts: contexts.clone(),
        active,
        callbacks,
        outbound,
        data: Arc::new(data),
        serving,
        users,
        retention,
    };
    Ok((Service::new(parts), contexts))
}

/// Where drivers on this machine reach a listener, which may listen everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}
