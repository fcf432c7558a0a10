//! Whose the data directory and the binaries are, looked at before anything is begun with them, and written: docs/adr/0029.
//!
//! All is looked at first. Then the parts are taken in one order: the chroot in ZooKeeper, the id of the metadata store, binaries that
//! are elsewhere, the data directory. Who is cut off in between has taken nothing wrong, and the next try goes on. What lacks is made only
//! after the look, so that a start that is refused has made nothing.

use std::fs::read_dir;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use doyen::adapters::blobs::Owned;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::cli::{self, Exit, Failure};
use doyen::config::{Binaries, Config};
use doyen::core::belonging::{Adoption, Belonging, Found, StoreName};
use doyen::jobs::{Records, StoreError};
use doyen::maintenance::Belongings;
use doyen::ports::{BinaryStore, BlobError};

use crate::node::StartError;
use crate::stores::{self, Blobs, Meta, opening};

/// The stores that are configured, as far as they are there: nothing was made, and nothing taken.
pub struct Looked {
    data_dir: Arc<DataDir>,
    /// For people.
    meta_place: String,
    meta: Option<Arc<Meta>>,
    blobs: Option<Arc<dyn BinaryStore>>,
    owned: Option<Arc<dyn Owned>>,
    /// For people. `None`: in the data directory.
    blobs_place: Option<String>,
}

impl Looked {
    pub fn new(config: &Config, data_dir: &Arc<DataDir>, meta: Option<&Arc<Meta>>, blobs: Option<&Blobs>) -> Self {
        let is_elsewhere = config.store.binaries != Binaries::Local;
        Self {
            data_dir: Arc::clone(data_dir),
            meta_place: stores::metadata_place(config, data_dir),
            meta: meta.cloned(),
            blobs: blobs.map(|blobs| Arc::clone(&blobs.store)),
            owned: blobs.and_then(|blobs| blobs.owned.clone()),
            blobs_place: is_elsewhere.then(|| stores::binaries_place(config, data_dir)),
        }
    }

    /// Who has the binaries, which are elsewhere; a name that an earlier version wrote for this data directory is none.
    async fn binaries_owner(&self) -> Result<Option<String>, StartError> {
        let Some(owned) = &self.owned else { return Ok(None) };
        let owner = owned.owner().await.map_err(opening)?;
        let former = self.data_dir.former_id()?;
        Ok(owner.filter(|owner| Some(owner.trim()) != former.as_deref()))
    }

    /// All that says whose it is. Where there are no records, also what they would have to tell of: when it matters.
    async fn found(&self, for_adoption: bool) -> Result<Found, StartError> {
        let (mut id, mut has_records) = (None, false);
        if let Some(meta) = &self.meta {
            let records = Records::new(Arc::clone(&meta.store));
            id = records.store_id().await.map_err(records_away)?;
            has_records = records.any_key().await.map_err(records_away)?.is_some();
        }
        let named = |text: Option<String>| text.map(|text| StoreName::read(&text));
        let what = format!("data directory {}", self.data_dir.root().display());
        let directory = Belonging { what, named: named(self.data_dir.store()?) };
        let binaries = match &self.blobs_place {
            Some(place) => {
                let what = format!("the store of binaries {place}");
                Some(Belonging { what, named: named(self.binaries_owner().await?) })
            }
            None => None,
        };
        let matters = !has_records && (id.is_none() || for_adoption);
        let remains = if matters { self.remains().await? } else { None };
        Ok(Found { place: self.meta_place.clone(), id, has_records, directory, binaries, remains })
    }

    /// A driver or content that is there, if any is.
    async fn remains(&self) -> Result<Option<String>, StartError> {
        let drivers = self.data_dir.drivers();
        if let Some(driver) = read_dir(&drivers).context("cannot list the drivers")?.next() {
            let driver = driver.context("cannot list the drivers")?.path();
            return Ok(Some(format!("a driver's directory {}", driver.display())));
        }
        let Some(blobs) = &self.blobs else { return Ok(None) };
        // What is nobody's has no content of anybody's; a store of binaries may be slow to say that it is empty.
        if let Some(owned) = &self.owned
            && owned.owner().await.map_err(opening)?.is_none()
        {
            return Ok(None);
        }
        let unlisted = |error: BlobError| match self.blobs_place {
            Some(_) => StartError::Away(format!("cannot list the binaries: {error}")),
            None => anyhow::Error::from(error).context("cannot list the binaries").into(),
        };
        let first = blobs.list(None, 1).await.map_err(unlisted)?;
        Ok(first.first().map(|blob| format!("content, like blob {}", blob.sha256)))
    }

    /// For a server before it makes what lacks, and for the commands that look at stores.
    ///
    /// # Errors
    /// When something belongs to another metadata store.
    pub async fn judge(&self) -> Result<(), StartError> {
        Ok(self.found(false).await?.judge()?)
    }

    /// Before an import, at whose end everything belongs to the new metadata store.
    ///
    /// # Errors
    /// When the binaries belong to another server.
    pub async fn judge_import(&self) -> Result<(), StartError> {
        Ok(self.found(false).await?.judge_import()?)
    }

    /// What `doyen store adopt` would do, with stores that were opened to be taken over.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn adoption(&self) -> Result<Adoption, StartError> {
        let found = self.found(true).await?;
        let chroot = match &self.meta {
            Some(meta) => meta.owned_by_another().await?,
            None => None,
        };
        Ok(found.adoption(chroot))
    }
}

/// All that is configured, opened, and nothing taken of it yet.
pub struct Opened {
    looked: Looked,
    meta: Arc<Meta>,
}

impl Opened {
    pub fn new(config: &Config, data_dir: &Arc<DataDir>, meta: &Arc<Meta>, blobs: &Blobs) -> Self {
        Self { looked: Looked::new(config, data_dir, Some(meta), Some(blobs)), meta: Arc::clone(meta) }
    }

    fn records(&self) -> Records {
        Records::new(Arc::clone(&self.meta.store))
    }

    /// Everything here belongs together from now on.
    async fn take(&self) -> Result<String, StartError> {
        self.meta.claim().await?;
        let id = self.records().make_store_id().await.map_err(records_away)?;
        self.name(&id).await?;
        Ok(id)
    }

    async fn name(&self, id: &str) -> Result<(), StartError> {
        let name = StoreName { store: id.into(), place: self.meta.place.clone() };
        let is_named = |text: &String| StoreName::read(text).store == id;
        if let Some(owned) = &self.looked.owned {
            match owned.owner().await.map_err(opening)? {
                Some(owner) if is_named(&owner) => {}
                Some(_) => owned.hand_over(&name.text()).await.map_err(opening)?,
                // Of two that find it so at once, one gets it.
                None => owned.claim(&name.text()).await.map_err(opening)?,
            }
        }
        if !self.looked.data_dir.store()?.as_ref().is_some_and(is_named) {
            self.looked.data_dir.set_store(&name.text())?;
        }
        Ok(())
    }

    /// For a server: it works with stores that belong together, or that nobody has used yet.
    ///
    /// # Errors
    /// When something belongs to another metadata store: then nothing was taken.
    pub async fn settle(&self) -> Result<(), StartError> {
        let found = self.looked.found(false).await?;
        found.judge()?;
        let id = self.take().await?;
        // The data directory is locked, so no other process of the owner lives.
        if let Some(owned) = &self.looked.owned
            && let Err(error) = owned.sweep_uploads().await
        {
            tracing::warn!(%error, "could not remove what an earlier process had not finished uploading");
        }
        let nameless = [Some(&found.directory), found.binaries.as_ref()].into_iter().flatten();
        for one in nameless.filter(|one| one.named.is_none()) {
            tracing::info!(id, metadata = %found.place, "{} belongs to this metadata store now", one.what);
        }
        Ok(())
    }

    /// For the commands that look at stores: they take nothing.
    ///
    /// # Errors
    /// As `settle`.
    pub async fn judge(&self) -> Result<(), StartError> {
        self.looked.judge().await
    }

    /// Before an import, at whose end everything belongs to the new metadata store.
    ///
    /// # Errors
    /// When the binaries belong to another server, or the chroot does.
    pub async fn begin_import(&self) -> Result<(), StartError> {
        self.looked.judge_import().await?;
        self.meta.claim().await
    }

    /// `doyen store adopt`, once somebody has agreed.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub async fn adopt(&self, json: bool, adoption: &Adoption) -> Result<Exit, Failure> {
        let id = self.take().await.map_err(|error| crate::failure(&error))?;
        cli::adopted(json, adoption, &id)
    }
}

#[async_trait]
impl Belongings for Opened {
    async fn belong_to(&self, store: &str) -> Result<(), String> {
        self.name(store).await.map_err(|error| error.to_string())
    }
}

fn records_away(error: StoreError) -> StartError {
    match error {
        StoreError::Unavailable(why) | StoreError::Unknown(why) => {
            StartError::Away(format!("cannot use the metadata: {why}"))
        }
        error => anyhow::anyhow!(error).context("cannot use the metadata").into(),
    }
}
