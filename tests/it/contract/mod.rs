//! What every store must do: each suite runs on the fake and on the real ones.

mod agreement;
mod binary_store;
mod meta_store;

use std::sync::Arc;

use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::memory::{MemoryBlobs, MemoryStore};
use doyen::ports::{BinaryStore, MetaStore};
use tempfile::TempDir;

/// A fresh store, with what must outlive it.
type Fresh<T> = (Arc<T>, Option<TempDir>);

/// Makes one test of each function, over the store that `$make` yields.
macro_rules! suite {
    ($name:ident, $make:path, $suite:ident: $($case:ident),+ $(,)?) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _directory) = $make();
                super::$suite::$case(store).await;
            })+
        }
    };
}

macro_rules! meta_store {
    ($name:ident, $make:path) => {
        suite!($name, $make, meta_store:
            committed_value_is_read_with_its_revision,
            revisions_ascend_and_an_empty_commit_counts,
            writes_to_one_key_apply_in_order,
            deleting_an_absent_key_is_no_error,
            absent_exists_and_at_hold_or_conflict,
            none_under_sees_only_the_prefix,
            conflict_names_the_first_that_fails_and_writes_nothing,
            poison_among_63_good_harms_nobody,
            racing_increments_lose_nothing,
            range_walks_up_and_down_by_pages,
            range_begins_beside_keys_that_do_not_exist,
            range_knows_prefixes_of_any_alphabet,
            changes_are_told_in_order_and_waited_for,
            newest_4096_changes_are_known,
            unknown_cursor_is_lost,
            every_revision_is_a_cursor,
        );
    };
}

macro_rules! binary_store {
    ($name:ident, $make:path) => {
        suite!($name, $make, binary_store:
            content_comes_back_whole,
            parts_are_read_by_offset_and_length,
            chunks_of_any_size_make_the_same_blob,
            same_content_twice_is_one_blob,
            same_content_at_once_is_one_blob,
            wrong_hash_is_refused_and_leaves_nothing,
            dropped_upload_leaves_nothing,
            what_is_not_there_is_not_found,
            deleted_blob_is_gone_and_can_come_back,
            blobs_are_listed_by_hash_in_pages,
            uploading_again_and_refreshing_change_the_stamp,
            what_was_uploaded_or_refreshed_since_is_not_deleted,
            uploads_that_race_with_deletions_are_there_when_they_answer,
        );
    };
}

fn memory_meta() -> Fresh<dyn MetaStore> {
    (Arc::new(MemoryStore::default()), None)
}

fn embedded_meta() -> Fresh<dyn MetaStore> {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("meta.redb"), 1 << 20).unwrap();
    (Arc::new(store), Some(directory))
}

fn zookeeper_meta() -> Fresh<dyn MetaStore> {
    (Arc::new(crate::zookeeper::fresh_now()), None)
}

fn memory_blobs() -> Fresh<dyn BinaryStore> {
    (Arc::new(MemoryBlobs::default()), None)
}

fn local_blobs() -> Fresh<dyn BinaryStore> {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(ObjectBinaryStore::open_local(directory.path()).unwrap()), Some(directory))
}

fn shared_blobs() -> Fresh<dyn BinaryStore> {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(ObjectBinaryStore::open_shared(directory.path()).unwrap()), Some(directory))
}

meta_store!(memory_meta_store, super::memory_meta);
meta_store!(embedded_meta_store, super::embedded_meta);
meta_store!(zookeeper_meta_store, super::zookeeper_meta);
binary_store!(memory_binary_store, super::memory_blobs);
binary_store!(local_binary_store, super::local_blobs);
binary_store!(shared_binary_store, super::shared_blobs);
binary_store!(hdfs_binary_store, crate::hdfs::fresh);
binary_store!(s3_binary_store, crate::s3::fresh);
