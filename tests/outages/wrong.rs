//! A server is started on stores that are not as they should be: it names the setting, and says what to do.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use doyen::adapters::zookeeper::{Options, ZooKeeperStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::fixture::{Place, eventually};
use crate::servers::zookeeper::{Ensemble, TlsFiles};
use crate::stores::{CALM, Stores, hdfs};

/// Longer than any message that a person reads.
const MOST_CHARS: usize = 2000;

fn with<'a>(settings: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    settings.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Such a server ends at once, with this code and these words.
fn ends(place: &Place, settings: &[&str], code: i32, words: &[&str]) {
    let output = tokio::task::block_in_place(|| place.command("127.0.0.1:0", settings).output().unwrap());
    let said = String::from_utf8(output.stderr).unwrap();
    let error = said.find("error: ").map_or("", |at| &said[at..]);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(words.iter().all(|word| error.contains(word)) && error.len() < MOST_CHARS, "{words:?}: {said}");
}

/// Such a server waits, and logs these words.
async fn waits(settings: &[&str], words: &[&str]) {
    let place = Place::new();
    let log = place.path("server.log");
    let mut command = place.command("127.0.0.1:0", settings);
    let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let says = || std::fs::read_to_string(&log).unwrap();
    eventually("its words", || async { words.iter().all(|word| says().contains(word)) }).await;
    assert!(child.try_wait().unwrap().is_none(), "{}", says());
    child.kill().unwrap();
    tokio::task::block_in_place(|| child.wait().unwrap());
}

fn options(servers: Vec<String>, chroot: &str, auth: Option<&str>) -> Options {
    let second = std::time::Duration::from_secs(1);
    Options {
        servers,
        chroot: chroot.into(),
        session_timeout: second * 5,
        commit_timeout: second * 30,
        auth: auth.map(str::to_owned),
        tls: None,
        owner: None,
    }
}

/// What others have made in ZooKeeper, or somebody by hand; two megabytes of it here and there.
async fn odd_places(servers: &[String]) {
    let zookeeper = Client::connect(&servers.join(",")).await.unwrap();
    drop(ZooKeeperStore::open(options(servers.to_vec(), "/damaged", None)).await.unwrap());
    drop(ZooKeeperStore::open(options(servers.to_vec(), "/digest", Some("doyen:secret"))).await.unwrap());
    let large = vec![b'x'; 2 << 20];
    for (path, data) in [
        ("/foreign", &b""[..]),
        ("/foreign/brokers", &large),
        ("/newer", b""),
        ("/newer/format", b"99"),
        ("/large", b""),
        ("/large/format", &large),
        ("/damaged/log/0000000000000000/0000000000000099", &large),
    ] {
        zookeeper.create(path, data, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hands_have_to_put_right_ends_it_and_is_told() {
    let _calm = CALM.read().await;
    let ensemble = tokio::task::block_in_place(|| Ensemble::with_requests_of(8 << 20));
    odd_places(&ensemble.addresses()).await;
    let settings = Stores::at(ensemble.addresses()).settings();
    let place = Place::new();
    for (file, text) in [("wrong", "doyen:wrong\n"), ("no-pair", "doyen\n"), ("open", "doyen:secret\n")] {
        std::fs::write(place.path(file), text).unwrap();
        let mode = if file == "open" { 0o644 } else { 0o600 };
        std::fs::set_permissions(place.path(file), Permissions::from_mode(mode)).unwrap();
    }
    let another = "choose another `zookeeper.chroot`";
    for (wrong, code, words) in [
        (&["zookeeper.chroot=\"/foreign\""][..], 64, &["\"brokers\"", another][..]),
        (&["zookeeper.chroot=\"/newer\""], 64, &["format \"99\"", "start the version that wrote it", another]),
        (&["zookeeper.chroot=\"/large\""], 64, &["format \"xxx", another]),
        (
            &["zookeeper.chroot=\"/damaged\""],
            69,
            &["`zookeeper.chroot`", "0000000000000099", "delete it with ZooKeeper's"],
        ),
        (&["zookeeper.chroot=\"/zookeeper/a\""], 64, &["`zookeeper.chroot`", "/zookeeper is its own"]),
        (&["zookeeper.chroot=\"/digest\""], 64, &["`zookeeper.auth-file` (which is not set)", another]),
        (&["zookeeper.chroot=\"/digest\"", "zookeeper.auth-file=\"wrong\""], 64, &["(there is \"doyen\")", another]),
        (
            &["zookeeper.auth-file=\"no-pair\""],
            64,
            &["`zookeeper.auth-file`: no-pair has to hold one line, user:password"],
        ),
        (&["zookeeper.auth-file=\"nowhere\""], 64, &["`zookeeper.auth-file`", "nowhere", "No such file"]),
        (&["zookeeper.auth-file=\"open\""], 64, &["`zookeeper.auth-file`", "open"]),
        (&["store.hdfs.user=\"stranger\""], 69, &["user=stranger", "store.hdfs.path", "-chown", "store.hdfs.user"]),
    ] {
        ends(&place, &with(&settings, wrong), code, words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_another_server_are_left_alone() {
    let _calm = CALM.read().await;
    let (theirs, ours) = (Stores::plain(), Stores::plain());
    drop(theirs.start(Place::new()));
    let place = Place::new();
    let settings = ours.settings();
    let chroot = format!("zookeeper.chroot={:?}", theirs.path);
    ends(
        &place,
        &with(&settings, &[&chroot]),
        64,
        &["is that of node", "choose another `zookeeper.chroot`", "doyen store adopt"],
    );
    let path = format!("store.hdfs.path={:?}", theirs.path);
    ends(&place, &with(&settings, &[&path]), 64, &["in HDFS belongs to the metadata store", "doyen store adopt"]);
}

/// A server's key and certificate, and who has issued it, in these files.
fn expired(server: &Path, ca: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(["127.0.0.1".into()]).unwrap());
    params.not_after = date_time_ymd(2020, 1, 1);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(ca, issuer.pem()).unwrap();
    std::fs::write(server, key.serialize_pem() + &certificate.pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_become_a_zookeeper_that_serves_is_waited_for_and_told() {
    let _calm = CALM.read().await;
    let place = Place::new();
    let (server, ca) = (place.path("server.pem"), place.path("ca.pem"));
    expired(&server, &ca);
    let files = TlsFiles { server: &server, clients: &ca, needs_clients_certificate: false };
    let ensemble = tokio::task::block_in_place(|| Ensemble::with_tls(&files));
    let settings = Stores::at(vec![ensemble.servers[0].secure_address()]).settings();
    let ca = format!("zookeeper.tls-ca={ca:?}");
    let setting = "no ZooKeeper serves at `zookeeper.servers`";
    waits(&with(&settings, &[&ca]), &[setting, "shows a certificate that has expired: renew it there"]).await;
    waits(&with(&settings, &[]), &[setting, "speaks TLS: set `zookeeper.tls-ca`"]).await;
    let settings = Stores::at(vec![hdfs().address()]).settings();
    waits(&with(&settings, &[]), &[setting, "is it a ZooKeeper?"]).await;
}
