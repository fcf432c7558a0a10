//! The way to an HDFS: its NameNodes, and a deadline and a permit for each call.
//!
//! `hdfs-native` waits for ever for a NameNode that is frozen or cut off, and keeps to its connection. So while a call is not
//! answered, another client, which begins with the next of the NameNodes, tries whether it is; and a call that has met its
//! deadline brings about a new client in any case.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder, HdfsError};
use object_store::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};

use super::faults::{Fault, Kind, place};
use super::names::Service;
use crate::config;

/// Calls at work at once; more wait, within their deadline.
const PERMITS: usize = 64;
/// Within its deadline, how often a call that is not answered has another client ask; half as often where that waits for long.
const PROBES: u32 = 8;
/// What several NameNodes are called together.
const NAMESERVICE: &str = "doyen-namenodes";

#[derive(Debug)]
pub(super) struct Link {
    settings: config::Hdfs,
    service: Option<Service>,
    /// Which does the client's work.
    runtime: Handle,
    permits: Semaphore,
    current: RwLock<Current>,
    /// Counts clients that were made, so that each begins with another NameNode than the last one, whatever became of that.
    made: AtomicUsize,
    /// Held by the call that asks with another client.
    probing: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    /// Counts those that others took the place of.
    generation: usize,
    client: Client,
}

impl Link {
    /// Connects with the first call.
    pub(super) fn open(settings: &config::Hdfs) -> Result<Self> {
        let runtime = Handle::current();
        let service = Service::of(settings);
        let client = client(settings, service.as_ref(), 0, &runtime);
        let client = client.map_err(|error| fault(settings, "connect", error))?;
        let current = RwLock::new(Current { generation: 0, client });
        Ok(Self {
            settings: settings.clone(),
            service,
            runtime,
            permits: Semaphore::new(PERMITS),
            current,
            made: AtomicUsize::new(0),
            probing: Mutex::default(),
        })
    }

    /// One at least.
    pub(super) fn namenodes(&self) -> usize {
        self.service.as_ref().map_or_else(|| self.settings.namenodes().count().max(1), Service::len)
    }

    /// What may be done twice: while there is no answer, another client asks whether another NameNode has taken over, or a
    /// new connection works; then it is begun again there.
    pub(super) async fn call<T, F: Future<Output = hdfs_native::Result<T>> + Send>(
        &self,
        what: &'static str,
        path: &str,
        begin: impl Fn(Client, String) -> F + Send,
    ) -> Result<T> {
        let repeated = async {
            loop {
                let Current { generation, client } = self.current();
                tokio::select! {
                    done = begin(client, path.to_owned()) => return done,
                    () = self.superseded(generation) => {}
                }
            }
        };
        self.bounded(what, repeated).await?.map_err(|error| self.fault(what, error))
    }

    /// What must not be done twice.
    pub(super) async fn once<T, F: Future<Output = hdfs_native::Result<T>> + Send>(
        &self,
        what: &'static str,
        begin: impl FnOnce(Client) -> F + Send,
    ) -> Result<T> {
        let client = self.current().client;
        self.bounded(what, begin(client)).await?.map_err(|error| self.fault(what, error))
    }

    /// Until there is a client that is answered, later than this generation's.
    async fn superseded(&self, generation: usize) {
        let pause = self.settings.deadline / PROBES;
        loop {
            sleep(pause).await;
            if self.current().generation != generation {
                return;
            }
            // One call asks for all.
            let Ok(_turn) = self.probing.try_lock() else { continue };
            let Ok(client) = self.make() else { continue };
            if let Ok(Ok(_)) = timeout(2 * pause, client.get_file_info("/")).await {
                self.replace(generation, client);
                return;
            }
        }
    }

    /// What is begun already, within the deadline.
    pub(super) async fn bounded<T>(&self, what: &'static str, work: impl Future<Output = T>) -> Result<T> {
        let permitted = async {
            let _permit = self.permits.acquire().await;
            work.await
        };
        self.within_deadline(what, permitted).await
    }

    /// Several calls that have one deadline together. Each takes a permit of its own: who held one while waiting for the next
    /// could wait for others that do the same.
    pub(super) async fn within_deadline<T>(&self, what: &'static str, work: impl Future<Output = T>) -> Result<T> {
        let generation = self.current().generation;
        timeout(self.settings.deadline, work).await.map_err(|_| {
            self.renew(generation);
            generic(Fault::deadline(&self.settings, what))
        })
    }

    /// Within what has a permit and a deadline already.
    pub(super) async fn ask<T, F: Future<Output = hdfs_native::Result<T>> + Send>(
        &self,
        begin: impl FnOnce(Client) -> F + Send,
    ) -> hdfs_native::Result<T> {
        begin(self.current().client).await
    }

    /// False when it was not there.
    pub(super) async fn delete(&self, path: String) -> Result<bool> {
        self.call("delete a file", &path, |client, path| async move { client.delete(&path, false).await }).await
    }

    /// Removes what an upload left that failed; whom HDFS does not answer need not wait for it.
    pub(super) fn discard(self: &Arc<Self>, path: String) {
        let link = Arc::clone(self);
        self.runtime.spawn(async move { link.delete(path).await });
    }

    pub(super) fn fault(&self, what: &'static str, error: HdfsError) -> Error {
        fault(&self.settings, what, error)
    }

    pub(super) fn refuse(&self, why: String) -> Error {
        generic(Fault::new(Kind::Other, format!("HDFS ({}): {why}", place(&self.settings))))
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Once, however many calls of this generation were not answered.
    fn renew(&self, generation: usize) {
        // The same settings made a client before; if they do not now (a file is gone), the old one stays.
        if self.current().generation == generation
            && let Ok(client) = self.make()
        {
            self.replace(generation, client);
        }
    }

    fn make(&self) -> hdfs_native::Result<Client> {
        let n = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        client(&self.settings, self.service.as_ref(), n, &self.runtime)
    }

    fn replace(&self, generation: usize, client: Client) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.generation == generation {
            *current = Current { generation: generation + 1, client };
        }
    }
}

/// What is wrong with the settings, as far as they tell without HDFS being asked.
pub(super) fn check(settings: &config::Hdfs) -> std::result::Result<(), Fault> {
    let own = match Handle::try_current() {
        Ok(_) => None,
        Err(_) => tokio::runtime::Builder::new_current_thread().build().ok(),
    };
    let runtime = own.as_ref().map_or_else(Handle::try_current, |own| Ok(own.handle().clone()));
    let Ok(runtime) = runtime else { return Ok(()) };
    let made = client(settings, Service::of(settings).as_ref(), 0, &runtime).map(drop);
    let fault = made.map_err(|error| Fault::of(settings, "connect", &error));
    // What else may be wrong, may be right when it is opened.
    fault.or_else(|fault| if fault.kind == Kind::Settings { Err(fault) } else { Ok(()) })
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(place(&self.settings))
    }
}

fn generic(fault: Fault) -> Error {
    Error::Generic { store: "HDFS", source: Box::new(fault) }
}

fn fault(settings: &config::Hdfs, what: &'static str, error: HdfsError) -> Error {
    let found = Fault::of(settings, what, &error);
    match found.kind {
        Kind::NotFound => Error::NotFound { path: found.to_string(), source: Box::new(error) },
        Kind::Exists => Error::AlreadyExists { path: found.to_string(), source: Box::new(error) },
        _ => generic(found),
    }
}

/// NameNodes in the order of the setting, but from the n-th on.
fn client(
    settings: &config::Hdfs,
    service: Option<&Service>,
    n: usize,
    runtime: &Handle,
) -> hdfs_native::Result<Client> {
    let nodes: Vec<&str> = settings.namenodes().collect();
    let mut keys = vec![("dfs.client.socket-timeout".to_owned(), socket_timeout(settings.deadline))];
    keys.extend(service.map(|service| service.beginning_with(n)));
    let mut builder = ClientBuilder::new();
    if nodes.len() > 1 {
        let names: Vec<String> = (0..nodes.len()).map(|i| format!("n{}", (n + i) % nodes.len())).collect();
        keys.push((format!("dfs.ha.namenodes.{NAMESERVICE}"), names.join(",")));
        let address = |i: usize| format!("dfs.namenode.rpc-address.{NAMESERVICE}.n{i}");
        keys.extend(nodes.iter().enumerate().map(|(i, node)| (address(i), (*node).to_owned())));
        builder = builder.with_url(format!("hdfs://{NAMESERVICE}"));
    } else if let Some(url) = &settings.url {
        builder = builder.with_url(url);
    }
    if let Some(directory) = &settings.conf_dir {
        builder = builder.with_config_dir(directory.to_string_lossy());
    }
    if let Some(user) = &settings.user {
        builder = builder.with_user(user);
    }
    builder.with_config(keys).with_io_runtime(runtime.clone()).build()
}

/// In milliseconds: a reader goes on to two further DataNodes within the deadline.
fn socket_timeout(deadline: Duration) -> String {
    (deadline.as_millis() / 3).max(1).to_string()
}
