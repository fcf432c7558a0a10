//! Opening what is not there, not ours, or not allowed: each says what to do.

use std::time::Duration;

use doyen::adapters::zookeeper::{OpenError, Options, Owner, ZooKeeperStore};
use futures::future::join_all;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::hands::find;
use super::{bare, node, open, options, put, put_at_last, shared, value};
use crate::servers::guarded::free_port;
use crate::servers::zookeeper::Ensemble;

async fn refused(options: Options) -> String {
    match ZooKeeperStore::open(options).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_open_at_once_make_one_store() {
    let options = options(shared());
    let stores = join_all((0..8).map(|_| open(&options))).await;
    put(&stores[0], "a", "1").await.unwrap();
    assert_eq!(value(&open(&options).await, "a").await.as_deref(), Some("1"));
    let client = bare(&options).await;
    assert_eq!(client.get_data(&format!("{}/format", options.chroot)).await.unwrap().0, b"2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chroot_that_is_none_or_holds_something_else_is_refused() {
    let options = options(shared());
    for chroot in ["", "doyen", "/doyen/", "//", "/a/../b", "/zookeeper", "/zookeeper/doyen"] {
        let said = refused(Options { chroot: chroot.into(), ..options.clone() }).await;
        assert!(said.contains("chroot"), "{said}");
    }
    let client = bare(&options).await;
    client.mkdir(&format!("{}/brokers", options.chroot), &node()).await.unwrap();
    let said = refused(options.clone()).await;
    assert!(said.contains("brokers") && said.contains("choose another `zookeeper.chroot`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused_with_both_named() {
    let options = options(shared());
    drop(open(&options).await);
    bare(&options).await.set_data(&format!("{}/format", options.chroot), b"99", None).await.unwrap();
    let said = refused(options).await;
    assert!(said.contains("format \"99\"") && said.contains("reads format 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_belongs_to_the_data_directory_that_came_first() {
    let options = options(shared());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of = |directory: &TempDir, node: &str| Options {
        owner: Some(Owner::of(directory.path(), node).unwrap()),
        ..options.clone()
    };
    open(&of(&first, "a")).await.claim().await.unwrap();
    let said = refused(of(&second, "a")).await;
    assert!(said.contains(&first.path().display().to_string()) && said.contains("doyen store adopt"), "{said}");
    drop(open(&of(&first, "renamed")).await);
    // Who takes it over looks at it first.
    let takes = Owner::of(second.path(), "a").unwrap().taking_over();
    let store = open(&Options { owner: Some(takes), ..options.clone() }).await;
    assert!(store.owned_by_another().await.unwrap().is_some());
    drop(store);
    drop(open(&of(&first, "a")).await);
    let takes = Owner::of(second.path(), "a").unwrap().taking_over();
    open(&Options { owner: Some(takes), ..options.clone() }).await.claim().await.unwrap();
    assert!(refused(of(&first, "a")).await.contains(&second.path().display().to_string()));
    drop(open(&of(&second, "a")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_user_made_is_shut_to_others() {
    let nobody = options(shared());
    let owner = Options { auth: Some("doyen:secret".into()), ..nobody.clone() };
    let store = open(&owner).await;
    put(&store, "a", "1").await.unwrap();
    for (auth, words) in [(None, "which is not set"), (Some("doyen:wrong".to_owned()), "there is \"doyen\"")] {
        let error = ZooKeeperStore::open(Options { auth, ..nobody.clone() }).await.err().expect("it is shut");
        assert!(matches!(error, OpenError::Denied { .. }) && error.to_string().contains(words), "{error}");
    }
    assert_eq!(value(&open(&owner).await, "a").await.as_deref(), Some("1"));
    assert!(!format!("{owner:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_above_a_chroot_is_made_for_everybody() {
    let options = options(shared());
    let of = |name: &str, user: &str| {
        let chroot = format!("{}/above/{name}", options.chroot);
        Options { chroot, auth: Some(format!("{user}:secret")), ..options.clone() }
    };
    let (ada, bob) = (of("ada", "ada"), of("bob", "bob"));
    put(&open(&ada).await, "a", "1").await.unwrap();
    put(&open(&bob).await, "a", "2").await.unwrap();
    let nobody = bare(&options).await;
    nobody.mkdir(&format!("{}/above/third", options.chroot), &node()).await.unwrap();
    for shut in [&ada.chroot, &bob.chroot] {
        nobody.mkdir(&format!("{shut}/x"), &node()).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_zookeeper_is_said_to_be_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("127.0.0.1:{}", free_port());
    let session_timeout = Duration::from_secs(2);
    for (servers, expected) in [
        (vec![web.clone()], "is not a ZooKeeper"),
        (vec![silent.local_addr().unwrap().to_string()], "takes connections and does not answer"),
        (vec![nobody.clone(), web.clone()], "cannot be connected to"),
    ] {
        let named = servers.clone();
        let said = refused(Options { session_timeout, ..options(servers) }).await;
        assert!(said.contains(expected) && named.iter().all(|server| said.contains(server)), "{said}");
    }
}

/// ZooKeeper takes a megabyte unless it is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_znodes_that_hands_have_made_below_the_chroot_are_passed_over_or_named() {
    let ensemble = Ensemble::with_requests_of(8 << 20);
    let options = options(ensemble.addresses());
    let store = open(&options).await;
    put(&store, "a", "1").await.unwrap();
    let (client, root, large) = (bare(&options).await, &options.chroot, vec![b'x'; 2 << 20]);
    client.create(&format!("{root}/by-hand"), &large, &node()).await.unwrap();
    client.mkdir(&format!("{root}/data/b"), &node()).await.unwrap();
    client.create(&format!("{root}/data/b/large"), &large, &node()).await.unwrap();
    for store in [&store, &open(&options).await] {
        put(store, "c", "2").await.unwrap();
        assert_eq!(value(store, "a").await.as_deref(), Some("1"));
    }
    // A key of ours, overwritten, has no value any more, and can be given one.
    let cell = find(&client, &options, "a").await;
    client.set_data(&cell, &large, None).await.unwrap();
    let again = open(&options).await;
    assert_eq!(value(&again, "a").await, None);
    put(&again, "a", "3").await.unwrap();
    let entry = format!("{root}/log/0000000000000000/0000000000000099");
    client.create(&entry, &large, &node()).await.unwrap();
    let said = refused(options.clone()).await;
    assert!(said.contains(&entry) && said.contains("delete it") && said.len() < 500, "{said}");
    client.delete(&entry, None).await.unwrap();
    client.set_data(&format!("{root}/format"), &large, None).await.unwrap();
    let said = refused(options).await;
    assert!(said.contains("start the version that wrote it") && said.len() < 500, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_do_not_exist_are_no_harm_beside_one_that_does() {
    let mut options = options(shared());
    options.servers.insert(0, format!("127.0.0.1:{}", free_port()));
    options.servers.insert(0, "no-such-host.invalid:2181".into());
    let store = open(&options).await;
    put_at_last(&store, "a", "1").await;
    assert_eq!(value(&open(&options).await, "a").await.as_deref(), Some("1"));
}
