//! The users file: read at the start, and again when it changes.

use std::os::unix::fs::PermissionsExt;

use doyen::runtime::private_file;

use super::{EVERYBODY, FORBIDDEN, get, place, post, server, start, text};
use crate::fixture::{Place, Server, eventually};

fn write(server: &Server, text: &str) {
    private_file::replace(&server.place().path("users.toml"), text).unwrap();
}

#[tokio::test]
async fn users_and_roles_change_without_a_restart() {
    let server = server();
    assert_eq!(get(&server, "/jobs", "bob").await.status, 200);
    post(&server, "/jobs", "eve", "").await.is_text(403, FORBIDDEN);
    write(&server, &text(&[("eve", &["user"]), ("zoe", &["reader"])]));
    eventually("no bob", || async { get(&server, "/jobs", "bob").await.status != 200 }).await;
    assert_eq!(get(&server, "/jobs", "zoe").await.status, 200);
    assert_eq!(post(&server, "/jobs", "eve", "").await.status, 400);
}

#[tokio::test]
async fn damage_leaves_the_users_what_they_were_and_is_logged_once() {
    let server = server();
    let log = server.place().path("server.log");
    write(&server, "[users.ann]\nroles = [\"boss\"]\n");
    eventually("a complaint", || async {
        assert_eq!(get(&server, "/jobs", "ann").await.status, 200);
        std::fs::read_to_string(&log).unwrap().contains("users.toml:2: there is no role `boss`")
    })
    .await;
    write(&server, &text(&[("zoe", &["reader"])]));
    eventually("zoe", || async { get(&server, "/jobs", "zoe").await.status == 200 }).await;
    assert_eq!(std::fs::read_to_string(&log).unwrap().matches("there is no role `boss`").count(), 1);
}

/// A log line with this, though nobody asks the server anything.
async fn logged(server: &Server, words: &str) {
    let log = server.place().path("server.log");
    eventually(words, || async { std::fs::read_to_string(&log).unwrap().contains(words) }).await;
}

#[tokio::test]
async fn a_file_that_is_opened_to_others_while_the_server_runs_is_logged_and_the_users_stay() {
    let server = server();
    let open = |mode| {
        std::fs::set_permissions(server.place().path("users.toml"), PermissionsExt::from_mode(mode)).unwrap();
    };
    open(0o644);
    logged(&server, "users.toml is open to others (mode 644); `chmod o-rwx,g-w` it").await;
    assert_eq!(get(&server, "/jobs", "ann").await.status, 200);
    open(0o640);
    logged(&server, "the users file was read again").await;
    assert_eq!(get(&server, "/jobs", "ann").await.status, 200);
}

fn refused(place: &Place) -> String {
    let output = place.command("127.0.0.1:0", &["security.users-file=users.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_server_does_not_start_with_a_damaged_file_and_says_where() {
    let twice = "[users.ann]\nroles = []\n\n[users.ann]\nroles = []\n";
    for (text, told) in [
        ("[users.ann]\nroles = [\"boss\"]\n", "users.toml:2: there is no role `boss`; there is admin, reader, user"),
        (twice, "users.toml:4: duplicate key"),
        ("[users.ann]\nroles = []\npassword = \"hush\"\n", "users.toml:3: `password` is no hash of argon2id"),
        ("[users.ann\n", "users.toml:1: "),
    ] {
        let stderr = refused(&place(text));
        assert!(stderr.contains(told) && !stderr.contains("hush"), "{stderr}");
    }
}

#[test]
fn a_server_does_not_start_with_a_file_that_others_may_read() {
    let place = place(&text(EVERYBODY));
    let file = place.path("users.toml");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(refused(&place).contains("is open to others (mode 644); `chmod o-rwx,g-w` it"));
    std::fs::remove_file(&file).unwrap();
    assert!(refused(&place).contains("No such file"), "{}", refused(&place));
}

#[tokio::test]
async fn with_users_others_may_reach_the_server() {
    let place = place(&text(EVERYBODY));
    let server = Server::at(place, "0.0.0.0:0", &["security.users-file=users.toml"]);
    let log = std::fs::read_to_string(server.place().path("server.log")).unwrap();
    assert!(log.contains("passwords and tokens come unencrypted"), "{log}");
    drop(start(super::place(&text(EVERYBODY)), &[]));
}
