//! HDFS fails, and each failure is told in words that help.

use std::net::TcpListener;

use doyen::runtime::clock;
use futures::StreamExt;

use super::*;

/// Everything that is bounded by the deadline of two seconds ends well within it.
const SOON: Duration = Duration::from_secs(30);

#[track_caller]
fn says<T>(answer: Result<T, BlobError>, words: &[&str]) {
    match answer.err() {
        Some(error @ (BlobError::Unavailable(_) | BlobError::Unreadable { .. })) => {
            let text = error.to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not all in: {text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_namenode_is_waited_for_until_the_deadline_and_works_afterwards() {
    let (store, settings, _alone) = alone();
    let stored = upload(&store, &content(1000)).await.unwrap();
    let mut begun = store.create().await.unwrap();
    begun.write(content(LARGE)).await.unwrap();
    let frozen = SERVER.freeze_namenode();
    let begin = clock::instant();
    let words = ["store.hdfs.deadline (2s)", settings.url.as_deref().unwrap()];
    let other = content(2000);
    let (uploaded, published, found, all) =
        tokio::join!(upload(&store, &other), begun.finish(None), store.stat(&stored), store.list(None, 10));
    says(uploaded, &words);
    says(published, &words);
    says(found, &words);
    says(all, &words);
    assert!(clock::since(begin) < SOON, "{:?}", clock::since(begin));
    drop(frozen);
    until_it_works(&store).await;
    assert_eq!(read(&store, &stored).await.unwrap(), content(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn datanode_killed_during_an_upload_fails_it_and_a_later_one_is_taken() {
    let (store, _, _alone) = alone();
    let mut writer = store.create().await.unwrap();
    writer.write(content(LARGE)).await.unwrap();
    SERVER.kill_datanode();
    let rest = async {
        writer.write(content(LARGE)).await?;
        writer.finish(None).await
    };
    says(tokio::time::timeout(SOON, rest).await.unwrap(), &["DataNode"]);
    SERVER.start_datanode();
    until_it_works(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datanode_killed_during_a_download_fails_it_and_a_later_one_is_whole() {
    let (store, _, _alone) = alone();
    // More than is under way in any buffer.
    let content = content(48 * 1024 * 1024);
    let stored = upload(&store, &content).await.unwrap();
    let (mut reader, _) = store.read(&stored, 0, None).await.unwrap();
    reader.next().await.unwrap().unwrap();
    SERVER.kill_datanode();
    let rest = tokio::time::timeout(SOON, reader.try_collect::<Vec<_>>()).await.unwrap();
    says(rest, &["DataNode"]);
    SERVER.start_datanode();
    until_it_works(&store).await;
    assert!(read(&store, &stored).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_that_is_used_up_is_told_as_full() {
    let (store, settings, _alone) = alone();
    SERVER.admin(&["-setSpaceQuota", "1m", &settings.path]);
    for size in [1000, LARGE] {
        let full = upload(&store, &content(size)).await.unwrap_err();
        assert!(matches!(&full, BlobError::Full(why) if why.contains("-setSpaceQuota")), "{full}");
    }
    uploads::nothing_is_left(&settings.path).await;
    SERVER.admin(&["-clrSpaceQuota", &settings.path]);
    upload(&store, &content(1000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn datanodes_without_room_are_told_as_full_and_taken_again_when_they_have_some() {
    let (store, settings, _alone) = alone();
    SERVER.kill_datanode();
    SERVER.start_with(&[("dfs.datanode.du.reserved", (1_u64 << 60).to_string())]);
    let sizes = [2000, LARGE].into_iter();
    let full = sizes.map(async |size| {
        for _ in 0..1200 {
            // Until the DataNode has told the NameNode how much room it has, it is away.
            match upload(&store, &content(size)).await {
                Err(BlobError::Full(why)) => return why.contains("Make room"),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        false
    });
    let full = futures::future::join_all(full).await;
    SERVER.kill_datanode();
    SERVER.start_datanode();
    until_it_works(&store).await;
    assert_eq!(full, [true, true]);
    uploads::nothing_is_left(&settings.path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_mode_takes_no_uploads_and_gives_downloads() {
    let (store, _, _alone) = alone();
    let stored = upload(&store, &content(1000)).await.unwrap();
    SERVER.admin(&["-safemode", "enter"]);
    let refused = upload(&store, &content(2000)).await;
    let given = read(&store, &stored).await;
    SERVER.admin(&["-safemode", "leave"]);
    says(refused, &["safe mode", "hdfs dfsadmin -safemode leave"]);
    assert_eq!(given.unwrap(), content(1000));
    upload(&store, &content(2000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_told_whom_to_ask() {
    let settings = settings();
    let _calm = fresh().1;
    let stranger = config::Hdfs { user: Some("stranger".into()), ..settings.clone() };
    says(open(&stranger), &["Permission denied: user=stranger", "store.hdfs.user", &settings.path]);
    open(&settings).unwrap();
    says(upload(&open(&stranger).unwrap(), &content(10)).await, &["Permission denied", "store.hdfs.path"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_namenode_is_the_setting_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = config::Hdfs { url: Some(format!("hdfs://{free}")), ..settings() };
    says(open(&config::Hdfs { deadline: Duration::from_secs(2), ..nowhere }), &["store.hdfs", &free.to_string()]);
    let unknown = config::Hdfs { url: Some("hdfs://name-service".into()), ..settings() };
    says(open(&unknown), &["hdfs://name-service", "store.hdfs.conf-dir"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namenode_is_found_where_the_first_is_down_or_silent() {
    let _calm = fresh().1;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for first in [down, silent.local_addr().unwrap()] {
        let settings = settings();
        let real = settings.url.as_deref().unwrap().strip_prefix("hdfs://").unwrap();
        let url = Some(format!("hdfs://{first},{real}"));
        let store = open(&config::Hdfs { url, deadline: Duration::from_secs(5), ..settings.clone() }).unwrap();
        let stored = upload(&store, &content(1000)).await.unwrap();
        assert_eq!(read(&store, &stored).await.unwrap(), content(1000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hadoops_own_configuration_names_the_namenode() {
    let settings = settings();
    let _calm = fresh().1;
    let store = open(&config::Hdfs { url: None, conf_dir: Some(SERVER.conf_dir()), ..settings }).unwrap();
    upload(&store, &content(1000)).await.unwrap();
}
