//! Two NameNodes: the active one is killed, or stands still, and the other takes over.

use super::*;
use crate::servers::pair::Pair;

/// No call meets its deadline, so what happens to the NameNodes costs less than that.
const DEADLINE: Duration = Duration::from_secs(40);

async fn works(store: &Arc<dyn BinaryStore>, before: &str, size: usize) {
    assert_eq!(read(store, before).await.unwrap(), content(1000));
    let stored = upload(store, &content(size)).await.unwrap();
    assert!(read(store, &stored).await.unwrap() == content(size));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namenode_takes_over_from_one_that_is_killed_and_from_one_that_stands_still() {
    let mut pair = tokio::task::block_in_place(Pair::start);
    let store = |settings| open(&config::Hdfs { deadline: DEADLINE, ..settings }).unwrap();
    let (listed, named) = (store(pair.listed()), store(pair.named()));
    let before = upload(&listed, &content(1000)).await.unwrap();
    works(&named, &before, LARGE).await;

    pair.kill(0);
    tokio::task::block_in_place(|| pair.activate(1));
    works(&listed, &before, 2000).await;
    works(&named, &before, LARGE + 1).await;

    tokio::task::block_in_place(|| {
        pair.start_namenode(0);
        pair.namenode(1).freeze();
        pair.activate(0);
    });
    works(&listed, &before, 3000).await;
    works(&named, &before, LARGE + 2).await;
    // What fences it off kills it; thawed, it would take itself for active.
    pair.kill(1);
}
