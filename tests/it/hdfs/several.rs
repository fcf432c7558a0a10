//! Three DataNodes, and two replicas of each block: one DataNode dies, and who uploads or downloads goes on.

use futures::StreamExt;

use super::damage::{block, block_at_work};
use super::*;

const DATANODES: usize = 3;

/// Which DataNodes have a block that `is_meant`.
fn holders(hdfs: &Hdfs, is_meant: impl Fn(&std::path::Path) -> bool) -> Vec<usize> {
    (0..DATANODES).filter(|n| is_meant(&hdfs.data_of(*n))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn datanode_dies_and_uploads_and_downloads_go_on_with_another() {
    let hdfs = tokio::task::block_in_place(|| Hdfs::of(DATANODES, 2));
    let store = open(&hdfs.settings("/several")).unwrap();
    // A single block, which is in no buffer as a whole.
    let all = content(7 << 20);
    let stored = upload(&store, &all).await.unwrap();
    let replicas = holders(&hdfs, |data| block(data, all.len() as u64).is_some());
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    let (mut reader, _) = store.read(&stored, 0, None).await.unwrap();
    let mut got = reader.next().await.unwrap().unwrap().to_vec();
    hdfs.kill(replicas[0]);
    got.extend(reader.try_collect::<Vec<_>>().await.unwrap().concat());
    assert!(got == all);

    tokio::task::block_in_place(|| hdfs.restart(replicas[0]));
    let all = content((7 << 20) + 1);
    let mut writer = store.create().await.unwrap();
    writer.write(all.slice(..2 << 20)).await.unwrap();
    let pipeline = holders(&hdfs, block_at_work);
    assert_eq!(pipeline.len(), 2, "{pipeline:?}");
    hdfs.kill(pipeline[0]);
    writer.write(all.slice(2 << 20..)).await.unwrap();
    let (stored, _) = writer.finish(None).await.unwrap();
    assert!(read(&store, &stored).await.unwrap() == all);
}

/// The NameNode names the dead one for every second block.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_begin_with_another_datanode_when_one_is_dead() {
    let hdfs = tokio::task::block_in_place(|| Hdfs::of(2, 1));
    let store = open(&hdfs.settings("/dead")).unwrap();
    hdfs.kill(0);
    let mut taken = 0;
    for size in (0..20).flat_map(|n| [1000 + n, LARGE + n]) {
        taken += usize::from(upload(&store, &content(size)).await.is_ok());
    }
    // One of 64 fails.
    assert!(taken >= 30, "{taken} of 40");
}
