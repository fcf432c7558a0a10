//! HTTPS: the listener, its drivers, client certificates, and certificates that are renewed.

use std::fs;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::{Certificate, Client, Identity};
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Connection, Place, Reply, Server, WHEEL, eventually, jobs};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this machine and its key, in PEM, by the authority.
fn issued(by: &Authority, common_name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

/// Puts them where the settings of `secure` look.
fn install(place: &Place, (certificate, key): &(String, String)) {
    fs::write(place.path("server.pem"), certificate).unwrap();
    fs::write(place.path("server.key"), key).unwrap();
}

fn secure(place: Place, more: &[&str]) -> Server {
    let file = |key: &str, name: &str| format!("tls.{key}={:?}", place.path(name));
    let mut settings = vec![file("certificate", "server.pem"), file("key", "server.key")];
    settings.extend(more.iter().map(|&setting| setting.to_owned()));
    Server::at(place, "127.0.0.1:0", &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

fn trusting(authority: &Authority, identity: Option<&(String, String)>) -> Client {
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let builder = Client::builder().tls_certs_only([root]);
    match identity {
        None => builder,
        Some((certificate, key)) => {
            builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap())
        }
    }
    .build()
    .unwrap()
}

async fn with_context(server: &Server) {
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
}

#[tokio::test]
async fn jobs_run_over_https_and_large_results_come_back() {
    let (place, ca) = (Place::new(), authority("ca"));
    install(&place, &issued(&ca, "server"));
    let server = secure(place, &[]).asked_by(trusting(&ca, None));
    assert!(server.url.starts_with("https://127.0.0.1:"));
    with_context(&server).await;
    let answer = server.sync("Large", &json!({"size": 200_000})).await.json(200);
    assert_eq!(answer["result"].as_str().unwrap().len(), 200_000);
}

#[tokio::test]
async fn plain_http_is_told_to_say_https() {
    let (place, ca) = (Place::new(), authority("ca"));
    install(&place, &issued(&ca, "server"));
    let server = secure(place, &[]);
    let mut connection = Connection::to(&server).await;
    connection.send("GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = connection.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("say https://.\r\n"), "{answer}");
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart_and_a_damaged_one_is_not() {
    let (place, old, new) = (Place::new(), authority("old"), authority("new"));
    install(&place, &issued(&old, "server"));
    let server = secure(place, &[]).asked_by(trusting(&new, None));
    assert!(server.request(reqwest::Method::GET, "/ping").send().await.is_err(), "an unknown authority");
    install(server.place(), &issued(&new, "server"));
    server.signal(Signal::HUP);
    eventually("the new certificate", || async { server.request(reqwest::Method::GET, "/ping").send().await.is_ok() })
        .await;
    fs::write(server.place().path("server.pem"), "no certificate").unwrap();
    server.signal(Signal::HUP);
    let log = server.place().path("server.log");
    eventually("a complaint", || async { fs::read_to_string(&log).unwrap().contains("the older ones stay") }).await;
    // A new connection, not one that is kept.
    let again = trusting(&new, None).get(format!("{}/ping", server.url));
    assert_eq!(Reply::to(again).await.status, 200);
}

#[tokio::test]
async fn drivers_attach_to_a_restarted_server_with_another_certificate() {
    let (place, ca) = (Place::new(), authority("ca"));
    install(&place, &issued(&ca, "server"));
    let server = secure(place, &[]).asked_by(trusting(&ca, None));
    with_context(&server).await;
    let gate = server.gate("gate");
    let job = server.waiting(&gate).await;
    let listen = server.url.strip_prefix("https://").unwrap().to_owned();
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    install(&place, &issued(&ca, "renewed"));
    let file = |key: &str, name: &str| format!("tls.{key}={:?}", place.path(name));
    let settings = [file("certificate", "server.pem"), file("key", "server.key")];
    let server = Server::at(place, &listen, &settings.each_ref().map(String::as_str)).asked_by(trusting(&ca, None));
    gate.open();
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
}

#[tokio::test]
async fn drivers_come_along_when_tls_is_switched_on_between_two_servers_and_off_again() {
    let (place, ca) = (Place::new(), authority("ca"));
    install(&place, &issued(&ca, "server"));
    let server = Server::at(place, "127.0.0.1:0", &[]);
    with_context(&server).await;
    let gate = server.gate("gate");
    let job = server.waiting(&gate).await;
    server.signal(Signal::KILL);
    let server = secure(server.end().await.1, &[]).asked_by(trusting(&ca, None));
    gate.open();
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
    // Binaries and results come over TLS too.
    server.upload("later", WHEEL, jobs()).await.is_success(201);
    let path = "/jobs?appName=later&classPath=jobs.Large&context=c&sync=true&timeout=60";
    let answer = server.post(path, "size = 200000").await.json(200);
    assert_eq!(answer["result"].as_str().unwrap().len(), 200_000);
    server.signal(Signal::KILL);
    let server = Server::at(server.end().await.1, "127.0.0.1:0", &[]);
    server.sync("Echo", &json!({})).await.json(200);
}

#[tokio::test]
async fn a_client_certificate_says_who_asks_and_may_be_required() {
    let (place, ca, clients, others) = (Place::new(), authority("ca"), authority("clients"), authority("others"));
    install(&place, &issued(&ca, "server"));
    fs::write(place.path("clients.pem"), clients.pem()).unwrap();
    let client_ca = format!("tls.client-ca={:?}", place.path("clients.pem"));
    let server = secure(place, &[&client_ca, "tls.require-client-certificate=true"]).asked_by(trusting(&ca, None));
    assert_eq!(server.get("/ping").await.status, 200);
    assert_eq!(server.get("/jobs").await.status, 401);
    let foreign = trusting(&ca, Some(&issued(&others, "ada")));
    assert!(foreign.get(format!("{}/ping", server.url)).send().await.is_err(), "another authority's certificate");
    let server = server.asked_by(trusting(&ca, Some(&issued(&clients, "ada"))));
    with_context(&server).await;
    let job = server.job("Echo", &json!({})).await;
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
    assert_eq!(server.get(&format!("/v1/jobs/{job}")).await.json(200)["principal"], "ada");
}

#[tokio::test]
async fn the_command_line_trusts_the_file_that_it_is_told_and_shows_its_certificate() {
    let (place, ca, clients) = (Place::new(), authority("ca"), authority("clients"));
    install(&place, &issued(&ca, "server"));
    let (certificate, key) = issued(&clients, "ada");
    for (name, text) in
        [("ca.pem", ca.pem()), ("clients.pem", clients.pem()), ("ada.pem", certificate), ("ada.key", key)]
    {
        fs::write(place.path(name), text).unwrap();
    }
    let client_ca = format!("tls.client-ca={:?}", place.path("clients.pem"));
    let server = secure(place, &[&client_ca, "tls.require-client-certificate=true"]);
    let doyen = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
        command.args(["--url", &server.url, "binary", "list"]).args(arguments).current_dir(server.place().root());
        command.output().unwrap()
    };
    let trusted = doyen(&["--ca", "ca.pem", "--cert", "ada.pem", "--key", "ada.key"]);
    assert!(trusted.status.success(), "{trusted:?}");
    // The server's own certificate, without its authority.
    assert!(doyen(&["--ca", "server.pem", "--cert", "ada.pem", "--key", "ada.key"]).status.success());
    let anonymous = doyen(&["--ca", "ca.pem"]);
    assert!(String::from_utf8_lossy(&anonymous.stderr).contains("client certificate"), "{anonymous:?}");
    for arguments in [&[] as &[&str], &["--ca", "clients.pem"]] {
        let ended = doyen(arguments);
        assert_eq!(ended.status.code(), Some(3), "a server that is not trusted is not asked");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("hint: --ca "), "{ended:?}");
    }
}

#[test]
fn a_server_with_unusable_files_says_which_and_does_not_start() {
    let (place, ca) = (Place::new(), authority("ca"));
    let (certificate, _) = issued(&ca, "server");
    let (_, other_key) = issued(&ca, "server");
    fs::write(place.path("empty.pem"), "").unwrap();
    install(&place, &(certificate, other_key));
    for (certificate, key, said) in [
        ("server.pem", "server.key", "does not belong to the certificate"),
        ("empty.pem", "server.key", "empty.pem holds no certificate"),
        ("server.pem", "empty.pem", "empty.pem holds no private key"),
        ("server.pem", "none.key", "none.key: No such file"),
    ] {
        let settings = [format!("tls.certificate={certificate:?}"), format!("tls.key={key:?}")];
        let output = place.command("127.0.0.1:0", &settings.each_ref().map(String::as_str)).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(64) && complaint.contains(said), "{:?}: {complaint}", output.status);
    }
}
