//! The commits that pack a job and make it a record again.

use std::sync::{Arc, LazyLock};

use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::memory::MemoryBlobs;
use doyen::core::history::builder::Builder;
use doyen::jobs::{Records, StoreError};
use doyen::ports::{BinaryStore, MetaStore};

/// Content is named by its hash, so all lives may share it.
pub static BLOBS: LazyLock<Arc<MemoryBlobs>> = LazyLock::new(Arc::default);

pub async fn act(name: &str, store: &Arc<EmbeddedStore>) -> Result<(), StoreError> {
    let blobs = Arc::clone(&BLOBS) as Arc<dyn BinaryStore>;
    let records = Records::new(Arc::clone(store) as Arc<dyn MetaStore>).over_segments(blobs, 1 << 20);
    let catalog = records.catalog().await?;
    match name {
        "history-pack" => {
            let (settled, _) = records.settled("j1").await?.unwrap();
            let bundle = records.bundle(&settled.job).await?.unwrap();
            let mut builder = Builder::default();
            builder.add(&bundle, &settled.job.record);
            let mut finished = builder.finish().unwrap();
            let bytes = std::mem::take(&mut finished.bytes);
            let stored = records.segments().unwrap().store(bytes).await.unwrap();
            records.add_segment(&finished.manifest(stored, true)).await
        }
        "history-clear" => {
            let (settled, _) = records.settled("j1").await?.unwrap();
            records.clear_packed(vec![settled]).await.map(drop)
        }
        "history-cleared" => records.segment_cleared(&catalog.segments()[0], 0).await,
        "job-unpack" => records.unpack_job("j1").await.map(drop),
        "history-trim" => records.trim_segment(&catalog.segments()[0], None).await,
        other => panic!("{other} is not about packed jobs"),
    }
}
