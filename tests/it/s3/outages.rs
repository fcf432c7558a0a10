//! The server is killed, stands still, or answers into the void.

use doyen::runtime::clock;
use futures::StreamExt;

use super::*;
use crate::servers::proxy::{Proxy, Weather};
use crate::servers::s3::files;

#[tokio::test(flavor = "multi_thread")]
async fn server_that_stands_still_is_waited_for_until_the_deadline_and_works_afterwards() {
    let s3 = start();
    let settings = s3.settings("still");
    let (store, hasty) = (open(&settings).await.unwrap(), open(&impatient(&settings)).await.unwrap());
    let stored = upload(&store, &content(1000)).await.unwrap();
    let mut begun = hasty.create().await.unwrap();
    begun.write(content(2000)).await.unwrap();
    let begin = clock::instant();
    let large = content(LARGE);
    let answers =
        async { tokio::join!(upload(&hasty, &large), begun.finish(None), hasty.stat(&stored), hasty.list(None, 10)) };
    let (uploaded, published, found, all) = s3.frozen(answers).await;
    assert!(clock::since(begin) < SOON, "{:?}", clock::since(begin));
    let words = ["store.s3.deadline (2s)", "store.s3.endpoint", &s3.endpoint()];
    is_unavailable(uploaded, &words);
    is_unavailable(published, &words);
    is_unavailable(found, &words);
    is_unavailable(all, &words);
    assert!(read(&store, &upload(&store, &large).await.unwrap()).await.unwrap() == large);
    assert_eq!(read(&store, &stored).await.unwrap(), content(1000));
}

/// With a deadline that a part, or much content, meets on a busy machine too, and that is over soon.
fn brisk(settings: &config::S3) -> config::S3 {
    config::S3 { deadline: Duration::from_secs(8), ..settings.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_during_an_upload_fails_it_and_a_later_one_is_taken() {
    let s3 = start();
    let settings = s3.settings("killed");
    let (store, brisk) = (open(&settings).await.unwrap(), open(&brisk(&settings)).await.unwrap());
    let mut writer = brisk.create().await.unwrap();
    // A part of eight MiB.
    writer.write(content(9 << 20)).await.unwrap();
    tokio::task::block_in_place(|| s3.kill());
    let rest = async {
        writer.write(content(LARGE)).await?;
        writer.finish(None).await
    };
    is_unavailable(tokio::time::timeout(SOON, rest).await.unwrap(), &["store.s3.endpoint", &s3.endpoint()]);
    tokio::task::block_in_place(|| s3.restart());
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    let stored = upload(&store, &content(LARGE)).await.unwrap();
    assert!(read(&store, &stored).await.unwrap() == content(LARGE));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_during_a_download_fails_it_and_a_later_one_is_whole() {
    let s3 = start();
    let settings = s3.settings("killed");
    let (store, brisk) = (open(&settings).await.unwrap(), open(&brisk(&settings)).await.unwrap());
    // More than is under way in any buffer.
    let content = content(48 << 20);
    let stored = upload(&store, &content).await.unwrap();
    let (mut reader, _) = brisk.read(&stored, 0, None).await.unwrap();
    reader.next().await.unwrap().unwrap();
    tokio::task::block_in_place(|| s3.kill());
    let rest = tokio::time::timeout(SOON, reader.try_collect::<Vec<_>>()).await.unwrap();
    is_unavailable(rest.map(|chunks| chunks.len()), &["store.s3.endpoint"]);
    tokio::task::block_in_place(|| s3.restart());
    assert!(read(&store, &stored).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_back_within_the_deadline_costs_a_download_nothing_and_has_all_that_was_stored() {
    let s3 = start();
    let settings = config::S3 { deadline: Duration::from_secs(60), ..s3.settings("back") };
    let store = open(&settings).await.unwrap();
    let content = content(48 * 1024 * 1024);
    let stored = upload(&store, &content).await.unwrap();
    let before = store.stat(&stored).await.unwrap();
    let (mut reader, _) = store.read(&stored, 0, None).await.unwrap();
    let first = reader.next().await.unwrap().unwrap();
    tokio::task::block_in_place(|| s3.restart());
    let rest = reader.try_collect::<Vec<_>>().await.unwrap().concat();
    assert!([&first[..], &rest].concat() == content);
    assert_eq!(store.stat(&stored).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_that_is_cut_silent_or_slow_loses_nothing() {
    let settings = settings();
    let proxy = Proxy::before(&SERVER.address()).await;
    let settings = config::S3 { endpoint: Some(format!("http://{}", proxy.address)), ..settings };
    let (store, hasty) = (open(&settings).await.unwrap(), open(&impatient(&settings)).await.unwrap());
    let stored = upload(&store, &content(1000)).await.unwrap();
    for (n, weather) in [Weather::Cut, Weather::Silent, Weather::AnswersLost].into_iter().enumerate() {
        proxy.set(weather);
        is_unavailable(upload(&hasty, &content(2000 + n)).await, &["store.s3"]);
        is_unavailable(read(&hasty, &stored).await, &["store.s3"]);
        proxy.set(Weather::Fair);
        assert_eq!(read(&store, &stored).await.unwrap(), content(1000));
        upload(&store, &content(2000 + n)).await.unwrap();
    }
    proxy.set(Weather::Slow(Duration::from_millis(100)));
    upload(&store, &content(3000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_that_is_dropped_or_refused_leaves_no_file() {
    let settings = settings();
    let store = open(&settings).await.unwrap();
    for drops in [true, false] {
        let mut writer = store.create().await.unwrap();
        writer.write(content(LARGE)).await.unwrap();
        if drops {
            drop(writer);
        } else {
            assert!(matches!(writer.finish(Some(&"0".repeat(64))).await, Err(BlobError::WrongHash { .. })));
        }
    }
    upload(&store, &content(LARGE)).await.unwrap();
    // Others use the bucket too, and what they break off has other names.
    let name = settings.path.split('/').next().unwrap().to_owned();
    let left = || {
        files(&SERVER.bucket())
            .into_iter()
            .filter(|file| file.to_string_lossy().contains(&format!("/{name}/")))
            .collect::<Vec<_>>()
    };
    for _ in 0..600 {
        if left().len() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", left());
}
