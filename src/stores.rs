//! Opens the stores of a configuration: for a server, and for `doyen store`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use doyen::adapters::blobs::{ObjectBinaryStore, OpenBlobsError, Owned};
use doyen::adapters::embedded::data_dir::{DataDir, DataDirError};
use doyen::adapters::embedded::{self, EmbeddedStore};
use doyen::adapters::hdfs;
use doyen::adapters::s3::S3BinaryStore;
use doyen::adapters::zookeeper::{self, Options, Owner, ZooKeeperStore};
use doyen::cli::{self, Exit, Failure, StoreCommand};
use doyen::config::{Binaries, Config, Metadata, ZooKeeper};
use doyen::core::belonging::Adoption;
use doyen::jobs::{Records, history};
use doyen::maintenance::Stores;
use doyen::ports::{BinaryStore, MetaStore};
use doyen::runtime::possession::Possession;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rustix::fs::Access;

use crate::belonging::{Looked, Opened};
use crate::node::StartError;

/// What is configured wrongly, as far as that can be told without asking the stores.
///
/// # Errors
/// What no waiting will change.
pub fn check(config: &Config) -> Result<(), StartError> {
    if config.store.metadata == Metadata::ZooKeeper {
        config.zookeeper.auth_file.as_deref().map(zookeeper::read_auth).transpose()?;
        tls(&config.zookeeper).map_or(Ok(()), |tls| tls.check())?;
    }
    if let (Binaries::Shared, Some(directory)) = (config.store.binaries, &config.store.shared.directory) {
        shared(directory)?;
    }
    let directory = config.store.hdfs.conf_dir.as_deref().filter(|_| config.store.binaries == Binaries::Hdfs);
    match directory {
        Some(path) if !path.is_dir() => {
            Err(StartError::Setting(format!("`store.hdfs.conf-dir` is {}, which is no directory", path.display())))
        }
        _ if config.store.binaries == Binaries::Hdfs => {
            let why = |fault: hdfs::Fault| StartError::Setting(format!("cannot open the binaries: {fault}"));
            hdfs::check(&config.store.hdfs).map_err(why)
        }
        _ => Ok(()),
    }
}

fn shared(directory: &Path) -> Result<(), StartError> {
    let wrong =
        |why: String| Err(StartError::Setting(format!("`store.shared.directory` is {}, {why}", directory.display())));
    if !directory.is_dir() {
        return wrong("which is no directory".into());
    }
    match rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(error) => wrong(format!("where this user may not write: {}", std::io::Error::from(error))),
    }
}

/// Nobody shall believe later that there was no warning.
pub fn warn_if_open(config: &Config) {
    let settings = &config.zookeeper;
    if config.store.metadata == Metadata::ZooKeeper && settings.auth_file.is_none() && !settings.is_local() {
        tracing::warn!(
            servers = settings.servers.join(" "),
            chroot = settings.chroot,
            "everybody who reaches ZooKeeper may write the records, and so run code here: set `zookeeper.auth-file`"
        );
    }
}

fn tls(settings: &ZooKeeper) -> Option<zookeeper::Tls> {
    let identity = settings.tls_certificate.clone().zip(settings.tls_key.clone());
    settings.tls_ca.clone().map(|ca| zookeeper::Tls { ca, identity })
}

/// Which setting says where the metadata is.
pub fn metadata_setting(config: &Config) -> String {
    format!("`zookeeper.servers` {}", config.zookeeper.servers.join(","))
}

/// Which setting says where binaries are.
pub fn binaries_setting(config: &Config) -> String {
    match (config.store.binaries, &config.store.hdfs.url) {
        (Binaries::Hdfs, Some(url)) => format!("`store.hdfs.url` {url}"),
        (Binaries::Hdfs, None) => "fs.defaultFS of `store.hdfs.conf-dir`, or of HADOOP_CONF_DIR".into(),
        (Binaries::S3, _) => "`store.s3.endpoint` and `store.s3.bucket`".into(),
        (Binaries::Local | Binaries::Shared, _) => "`store.binaries`".into(),
    }
}

/// The metadata, and what only one kind of it has.
pub struct Meta {
    pub store: Arc<dyn MetaStore>,
    commit_bytes: usize,
    zookeeper: Option<Arc<ZooKeeperStore>>,
    /// For people.
    pub place: String,
}

impl Meta {
    /// It belongs to this data directory from now on. One that is in there does anyway.
    pub async fn claim(&self) -> Result<(), StartError> {
        match &self.zookeeper {
            Some(store) => Ok(store.claim().await?),
            None => Ok(()),
        }
    }

    /// Whose it is, if it is another data directory's.
    pub async fn owned_by_another(&self) -> Result<Option<String>, StartError> {
        match &self.zookeeper {
            Some(store) => Ok(store.owned_by_another().await?),
            None => Ok(None),
        }
    }
}

impl Meta {
    /// Whether it is still this data directory's. One that is in there always is.
    pub fn possession(&self) -> Possession {
        self.zookeeper.as_ref().map(|store| store.possession()).unwrap_or_default()
    }
}

/// What `doyen store` opens stores for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Makes nothing where no store is.
    Look,
    Import,
    /// Also of what is another's.
    Adopt,
}

impl Opening {
    fn of(command: &StoreCommand) -> Self {
        match command {
            StoreCommand::Adopt { .. } => Self::Adopt,
            StoreCommand::Import { .. } => Self::Import,
            _ => Self::Look,
        }
    }
}

/// For people: where the metadata is.
pub fn metadata_place(config: &Config, data_dir: &DataDir) -> String {
    let settings = &config.zookeeper;
    match config.store.metadata {
        Metadata::Embedded => data_dir.meta().display().to_string(),
        Metadata::ZooKeeper => format!("{} in ZooKeeper ({})", settings.chroot, settings.servers.join(",")),
    }
}

/// Opens it where it is there, and takes nothing.
pub async fn find_metadata(config: &Config, data_dir: &DataDir, takes_over: bool) -> Result<Option<Meta>, StartError> {
    let file = data_dir.meta();
    if config.store.metadata == Metadata::Embedded {
        return if file.exists() { embedded(config, data_dir).map(Some) } else { Ok(None) };
    }
    if file.exists() {
        tracing::warn!(file = %file.display(), "its records are not used: `store.metadata` is \"zookeeper\"");
    }
    match ZooKeeperStore::open_existing(options(config, data_dir, takes_over)?).await {
        Ok(store) => Ok(Some(in_zookeeper(config, data_dir, store))),
        Err(zookeeper::OpenError::Nothing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens it, and makes an empty one where none is: for who knows that nothing here belongs to another. Takes nothing.
pub async fn make_metadata(config: &Config, data_dir: &DataDir, takes_over: bool) -> Result<Meta, StartError> {
    if config.store.metadata == Metadata::Embedded {
        return embedded(config, data_dir);
    }
    let store = ZooKeeperStore::open(options(config, data_dir, takes_over)?).await?;
    Ok(in_zookeeper(config, data_dir, store))
}

fn embedded(config: &Config, data_dir: &DataDir) -> Result<Meta, StartError> {
    let store = EmbeddedStore::open(&data_dir.meta(), config.store.cache_bytes).context("cannot open the metadata")?;
    let place = metadata_place(config, data_dir);
    Ok(Meta { store: Arc::new(store), commit_bytes: embedded::MAX_COMMIT_BYTES, zookeeper: None, place })
}

fn in_zookeeper(config: &Config, data_dir: &DataDir, store: ZooKeeperStore) -> Meta {
    let store = Arc::new(store);
    let (zookeeper, place) = (Some(Arc::clone(&store)), metadata_place(config, data_dir));
    Meta { store, commit_bytes: zookeeper::MAX_COMMIT_BYTES, zookeeper, place }
}

fn options(config: &Config, data_dir: &DataDir, takes_over: bool) -> Result<Options, StartError> {
    let settings = &config.zookeeper;
    let auth = settings.auth_file.as_deref().map(zookeeper::read_auth).transpose()?;
    let owner = Owner::of(data_dir.root(), &config.node.name).context("cannot give the data directory an identity")?;
    Ok(Options {
        servers: settings.servers.clone(),
        chroot: settings.chroot.clone(),
        session_timeout: settings.session_timeout,
        commit_timeout: settings.commit_timeout,
        auth,
        tls: tls(settings),
        owner: Some(if takes_over { owner.taking_over() } else { owner }),
    })
}

/// The binaries, and what has to go on beside them for as long as the server runs.
pub struct Blobs {
    pub store: Arc<dyn BinaryStore>,
    /// What is not in the data directory says whose it is.
    pub owned: Option<Arc<dyn Owned>>,
    pub sweeping: Option<BoxFuture<'static, ()>>,
}

/// Opens them where a place for them is there, and takes nothing.
pub async fn find_binaries(config: &Config, data_dir: &DataDir) -> Result<Option<Blobs>, StartError> {
    let is_there = || config.store.shared.directory.as_deref().is_some_and(Path::exists);
    match config.store.binaries {
        Binaries::Hdfs => {
            let found = ObjectBinaryStore::find_hdfs(&config.store.hdfs).await.map_err(opening)?;
            Ok(found.map(elsewhere))
        }
        Binaries::Shared if !is_there() => Ok(None),
        _ => make_binaries(config, data_dir).await.map(Some),
    }
}

/// Opens them, and makes a directory for them in HDFS where none is: for who knows that nothing here belongs to another. Takes nothing.
pub async fn make_binaries(config: &Config, data_dir: &DataDir) -> Result<Blobs, StartError> {
    const CANNOT: &str = "cannot open the binaries";
    match config.store.binaries {
        Binaries::Local => {
            let store = ObjectBinaryStore::open_local(&data_dir.blobs()).context(CANNOT)?;
            Ok(Blobs { store: Arc::new(store), owned: None, sweeping: None })
        }
        Binaries::S3 => {
            let store = Arc::new(S3BinaryStore::open(&config.store.s3).await.map_err(opening)?);
            let sweeping = Some(Arc::clone(&store).keep_swept().boxed());
            Ok(Blobs { store: Arc::clone(&store) as _, owned: Some(store), sweeping })
        }
        Binaries::Shared => {
            let directory = config.store.shared.directory.as_deref().context("`store.shared.directory` is not set")?;
            let place = || format!("{CANNOT}: store.shared.directory is {}", directory.display());
            Ok(elsewhere(ObjectBinaryStore::open_shared(directory).with_context(place)?))
        }
        Binaries::Hdfs => Ok(elsewhere(ObjectBinaryStore::open_hdfs(&config.store.hdfs).await.map_err(opening)?)),
    }
}

fn elsewhere(store: ObjectBinaryStore) -> Blobs {
    let store = Arc::new(store);
    let sweeping = Some(Arc::clone(&store).keep_swept().boxed());
    Blobs { store: Arc::clone(&store) as _, owned: Some(store), sweeping }
}

/// For who only looks: a store, and binaries that a server has used.
async fn used(
    config: &Config,
    data_dir: &DataDir,
    meta: Option<Arc<Meta>>,
    blobs: Option<Blobs>,
) -> Result<(Arc<Meta>, Blobs), StartError> {
    let nothing = || zookeeper::OpenError::Nothing { chroot: config.zookeeper.chroot.clone() };
    let (meta, blobs) = (meta.ok_or_else(nothing)?, blobs.ok_or_else(|| no_binaries(config, data_dir))?);
    match &blobs.owned {
        Some(owned) if owned.owner().await.map_err(opening)?.is_none() => Err(no_binaries(config, data_dir)),
        _ => Ok((meta, blobs)),
    }
}

fn no_binaries(config: &Config, data_dir: &DataDir) -> StartError {
    let settings = match config.store.binaries {
        Binaries::Hdfs => "`store.hdfs.url` and `store.hdfs.path`",
        Binaries::S3 => "`store.s3.endpoint`, `store.s3.bucket` and `store.s3.path`",
        _ => "`store.shared.directory`",
    };
    StartError::NoBinaries { place: binaries_place(config, data_dir), settings }
}

/// For people.
pub fn binaries_place(config: &Config, data_dir: &DataDir) -> String {
    match config.store.binaries {
        Binaries::Local => data_dir.blobs().display().to_string(),
        Binaries::Shared => config.store.shared.directory.clone().unwrap_or_default().display().to_string(),
        Binaries::Hdfs => format!("{} in HDFS", config.store.hdfs.path),
        Binaries::S3 => {
            let bucket = config.store.s3.bucket.as_deref().unwrap_or_default();
            format!("{} in the bucket {bucket} of S3", config.store.s3.path)
        }
    }
}

pub fn opening(error: OpenBlobsError) -> StartError {
    match error {
        OpenBlobsError::Away(error) => StartError::Away(format!("cannot open the binaries: {error}")),
        OpenBlobsError::Wrong(error) => anyhow::Error::from(error).context("cannot open the binaries").into(),
    }
}

/// # Errors
/// When an import into the store has not come to its end.
pub async fn refuse_half_import(meta: &Meta) -> Result<(), StartError> {
    match Records::new(Arc::clone(&meta.store)).half_import().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(StartError::HalfImported { place: meta.place.clone() }),
        Err(error) => Err(anyhow::anyhow!(error).context("cannot read the metadata").into()),
    }
}

/// `doyen store`.
pub fn run(json: bool, command: &StoreCommand) -> Result<Exit, Failure> {
    let config = command.place().server().load()?;
    check(&config).map_err(|error| crate::failure(&error))?;
    cli::look_at_file(command)?;
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let mut closing = None;
    let done = runtime.block_on(async {
        let failure = |error: StartError| crate::failure(&error);
        let data_dir = Arc::new(data_dir(&config, command)?);
        let (meta, found, adoption) = opened(&config, &data_dir, command).await?;
        let blobs = Arc::clone(&found.store);
        let scratch = data_dir.tmp();
        closing = Some(Arc::clone(&meta.store));
        let blobs_place = binaries_place(&config, &data_dir);
        let opened = Arc::new(Opened::new(&config, &data_dir, &meta, &found));
        match (command, adoption) {
            (_, Some(adoption)) => return opened.adopt(json, &adoption).await,
            (StoreCommand::Import { .. }, None) => opened.begin_import().await.map_err(failure)?,
            (_, None) => opened.judge().await.map_err(failure)?,
        }
        let (store, meta_place) = (Arc::clone(&meta.store), meta.place.clone());
        let znodes = meta.zookeeper.as_ref().map(|store| store.znodes());
        let commit_bytes = meta.commit_bytes;
        let packing = config.packs_history().then(|| history::rule(&config.history));
        let stores = Stores {
            meta: store,
            blobs,
            meta_place,
            blobs_place,
            commit_bytes,
            znodes,
            belongings: opened,
            packing,
            scratch,
        };
        cli::store(json, command, &stores).await
    });
    if let Some(store) = closing {
        runtime.block_on(store.close());
    }
    done
}

/// The stores that a command is for. What lacks is made once nothing speaks against it: for an adoption, once somebody agrees to that.
async fn opened(
    config: &Config,
    data_dir: &Arc<DataDir>,
    command: &StoreCommand,
) -> Result<(Arc<Meta>, Blobs, Option<Adoption>), Failure> {
    let failure = |error: StartError| crate::failure(&error);
    let takes_over = Opening::of(command) == Opening::Adopt;
    let meta = find_metadata(config, data_dir, takes_over).await.map_err(failure)?.map(Arc::new);
    let blobs = find_binaries(config, data_dir).await.map_err(failure)?;
    let looked = Looked::new(config, data_dir, meta.as_ref(), blobs.as_ref());
    let adoption = match command {
        StoreCommand::Adopt { yes, force, .. } => {
            if !force {
                let owned = blobs.as_ref().and_then(|blobs| blobs.owned.as_ref());
                crate::possession::refuse_living(config, data_dir, owned).await?;
            }
            if let Some(meta) = &meta {
                refuse_half_import(meta).await.map_err(failure)?;
            }
            let adoption = looked.adoption().await.map_err(failure)?;
            cli::agree_to_adopt(&adoption, *yes)?;
            Some(adoption)
        }
        StoreCommand::Import { .. } => looked.judge_import().await.map(|()| None).map_err(failure)?,
        _ => {
            let there = meta.clone();
            return match (used(config, data_dir, meta, blobs).await, there) {
                (Err(error @ StartError::NoBinaries { .. }), Some(meta)) => {
                    // They are a server's once an import has come to its end.
                    refuse_half_import(&meta).await.map_err(failure)?;
                    Err(failure(error))
                }
                (found, _) => found.map(|(meta, blobs)| (meta, blobs, None)).map_err(failure),
            };
        }
    };
    let blobs = match blobs {
        Some(blobs) => blobs,
        None => make_binaries(config, data_dir).await.map_err(failure)?,
    };
    let meta = match meta {
        Some(meta) => meta,
        None => Arc::new(make_metadata(config, data_dir, takes_over).await.map_err(failure)?),
    };
    Ok((meta, blobs, adoption))
}

fn data_dir(config: &Config, command: &StoreCommand) -> Result<DataDir, Failure> {
    let path: &Path = &config.node.data_dir;
    let opening = Opening::of(command);
    // What adopts is for a disk that is lost; where everything was on that, nothing is left to adopt.
    let is_all_here = config.store.metadata == Metadata::Embedded && config.store.binaries == Binaries::Local;
    let makes_none = is_all_here && !path.is_dir();
    if matches!(opening, Opening::Look) || opening == Opening::Adopt && makes_none {
        // The first that a server makes there, and the last.
        let file = if config.store.metadata == Metadata::Embedded { "meta.redb" } else { "format" };
        let lacking = if path.is_dir() { &*path.join(file) } else { path };
        if !lacking.exists() {
            let failure = Failure::new(Exit::DataDirUnusable, format!("there is no {}", lacking.display()));
            return Err(failure.hint(if makes_none {
                "as it is configured, all records and binaries are in the data directory, so without it there is nothing; \
                 name the configuration of the server with --config, or its directory with --data-dir"
            } else {
                "name the configuration of the server with --config, or its directory with --data-dir"
            }));
        }
    }
    DataDir::open(path).map_err(|error| match error {
        DataDirError::InUse { command: Some(_), .. } => {
            Failure::new(Exit::DataDirInUse, error.to_string()).hint("wait until that command has ended")
        }
        DataDirError::InUse { .. } => Failure::new(Exit::DataDirInUse, error.to_string())
            .hint("stop that server first (SIGTERM leaves its drivers running, SIGINT stops them too)"),
        error => crate::failure(&error.into()),
    })
}
