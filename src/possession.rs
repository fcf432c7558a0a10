//! A server whose stores another one may have taken over, and who takes over stores that another server may still work with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use doyen::adapters::blobs::Owned;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::adapters::possessed::{Life, PossessedBinaries};
use doyen::cli::{Exit, Failure};
use doyen::config::Config;
use doyen::jobs::Records;
use doyen::ports::BinaryStore;
use doyen::runtime::possession::Possession;

use crate::node::StartError;
use crate::stores::{self, Meta, opening};

/// A sign of life is renewed each minute; a store may be slow to take it.
const SILENCE: Duration = Duration::from_secs(3 * 60);

/// The stores of a server, as long as they are its own.
pub struct Possessed {
    possession: Possession,
    /// Those that are not in the data directory.
    binaries: Option<Arc<PossessedBinaries>>,
}

impl Possessed {
    /// From now on it is noticed when somebody else takes them over. They were just found to be this server's.
    ///
    /// # Errors
    /// When the records or the data directory cannot be read.
    pub async fn keep(
        config: &Config,
        data_dir: &DataDir,
        meta: &Meta,
        store: Arc<dyn BinaryStore>,
        owned: Option<Arc<dyn Owned>>,
    ) -> Result<(Arc<dyn BinaryStore>, Self), StartError> {
        let possession = meta.possession();
        let Some(owned) = owned else { return Ok((store, Self { possession, binaries: None })) };
        let id = Records::new(Arc::clone(&meta.store)).store_id().await.map_err(anyhow::Error::from)?;
        let name = (id.context("the metadata store has no id")?, stores::binaries_place(config, data_dir));
        let life = Life::of(data_dir.root(), &config.node.name).context("cannot look at the data directory")?;
        let binaries = Arc::new(PossessedBinaries::new(store, owned, name, life, possession.clone()));
        if let Err(error) = binaries.begin().await {
            tracing::warn!(%error, "could not leave a sign of life in the store of binaries; it is tried again each minute");
        }
        Ok((Arc::clone(&binaries) as _, Self { possession, binaries: Some(binaries) }))
    }

    /// Completes when something was taken over, which is told in words.
    pub async fn until_lost(&self) -> String {
        self.possession.until_lost().await
    }

    /// Nothing is asked of them any more.
    pub async fn end(&self) {
        if let Some(binaries) = &self.binaries
            && let Err(error) = binaries.end().await
        {
            tracing::warn!(%error, "could not take the sign of life away from the store of binaries");
        }
    }
}

/// Before `doyen store adopt` asks anything. ZooKeeper tells by itself who holds a chroot.
///
/// # Errors
/// When a server has worked with the binaries a short time ago, and does not say that it has ended.
pub async fn refuse_living(config: &Config, data_dir: &DataDir, owned: Option<&Arc<dyn Owned>>) -> Result<(), Failure> {
    let Some(owned) = owned else { return Ok(()) };
    let found = owned.signed().await.map_err(|error| crate::failure(&opening(error)))?;
    let Some((life, age)) = found.filter(|(_, age)| *age < SILENCE) else { return Ok(()) };
    let own = Life::of(data_dir.root(), &config.node.name)
        .map_err(|error| Failure::new(Exit::DataDirUnusable, format!("cannot look at the data directory: {error}")))?;
    let who = match Life::read(&life) {
        // Its lock is this process's.
        Some(life) if life.is_of_same_directory(&own) => return Ok(()),
        Some(life) => life.to_string(),
        None => "a server".into(),
    };
    let (place, ago, silence) = (stores::binaries_place(config, data_dir), age.as_secs(), SILENCE.as_secs() / 60);
    Err(Failure::new(Exit::DataDirInUse, format!("{who} worked with the store of binaries {place} {ago} s ago")).hint(format!(
        "stop that server; if it was killed, or its machine is lost, say this again {silence} minutes after its end, or at once with --force"
    )))
}
