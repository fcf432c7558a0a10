//! `doyen user`: the users file.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Ended, command, end};

const HUSH: &str = "hush hush";

fn user(directory: &TempDir, arguments: &[&str]) -> Ended {
    end(command(directory, &[&["user"], arguments, &["--file", "users.toml"]].concat()))
}

/// With the password on stdin.
fn piped(directory: &TempDir, arguments: &[&str], password: &str) -> Ended {
    let mut command = command(directory, &[&["user"], arguments, &["--file", "users.toml"]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments does not read it, and may have ended.
    let _ = writeln!(child.stdin.take().unwrap(), "{password}");
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn with_ann() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let added = piped(&directory, &["add", "ann", "--role", "admin"], HUSH);
    assert_eq!((added.code, added.stderr.as_str()), (0, "added ann to users.toml\n"));
    directory
}

fn file(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("users.toml")).unwrap()
}

#[test]
fn add_makes_a_private_file_with_a_hash() {
    let directory = with_ann();
    let mode = std::fs::metadata(directory.path().join("users.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = file(&directory);
    assert!(text.contains("[users.ann]") && text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert!(!text.contains(HUSH));
}

#[test]
fn list_shows_names_and_roles_but_no_hash() {
    let directory = with_ann();
    let added = user(&directory, &["add", "ci", "--role", "user,reader", "--no-password"]);
    assert_eq!(added.code, 0, "{added:?}");
    let listed = user(&directory, &["list"]);
    assert_eq!(listed.stdout, "NAME  ROLES        PASSWORD\nann   admin        yes\nci    user,reader  no\n");
    let json = user(&directory, &["list", "--json"]);
    assert!(json.stdout.starts_with("[{\"name\":\"ann\",\"roles\":[\"admin\"],\"password\":true}"), "{json:?}");
}

#[test]
fn passwd_roles_and_rm_change_one_user() {
    let directory = with_ann();
    piped(&directory, &["add", "bob", "--role", "user"], HUSH);
    let before = file(&directory);
    std::fs::write(directory.path().join("new"), "another one\n").unwrap();
    assert_eq!(user(&directory, &["passwd", "ann", "--password-file", "new"]).code, 0);
    assert_eq!(user(&directory, &["roles", "ann", "reader", "user"]).code, 0);
    let after = file(&directory);
    let bob = |text: &str| text.split("[users.bob]").nth(1).unwrap().to_owned();
    assert_eq!(bob(&before), bob(&after));
    assert!(after.contains("roles = [\"reader\", \"user\"]"), "{after}");
    let removed = user(&directory, &["rm", "ann"]);
    assert_eq!(removed.stderr, "removed ann; revoke the tokens too before the name is given to somebody else\n");
    assert!(!file(&directory).contains("[users.ann]"));
}

#[test]
fn what_cannot_be_is_told() {
    let directory = with_ann();
    for (arguments, code, told) in [
        (&["add", "ann", "--role", "admin"][..], 1, "there is a user ann already\nhint: `doyen user passwd`"),
        (&["add", "zoe", "--role", "boss"], 2, "there is no role `boss`\nhint: there is admin, reader, user;"),
        (&["add", "a:b", "--role", "user"], 2, "a user's name holds no `:`"),
        (&["add", "zoe"], 2, "--role"),
        (&["rm", "zoe"], 1, "there is no user zoe in users.toml"),
        (&["passwd", "zoe"], 1, "there is no user zoe in users.toml"),
        (&["passwd", "ann", "--password-file", "none"], 2, "cannot read none: No such file"),
    ] {
        let ended = piped(&directory, arguments, HUSH);
        assert!(ended.code == code && ended.stderr.contains(told), "{ended:?}");
    }
    let short = piped(&directory, &["passwd", "ann"], "short");
    assert!(short.code == 2 && short.stderr.contains("a password has at least 8 characters"), "{short:?}");
    let none = piped(&directory, &["add", "zoe", "--role", "user"], "");
    assert!(none.code == 2 && none.stderr.contains("--no-password"), "{none:?}");
    let nowhere = end(command(&directory, &["user", "list"]));
    assert!(nowhere.code == 2 && nowhere.stderr.contains("hint: set `security.users-file`"), "{nowhere:?}");
}

#[test]
fn a_damaged_file_is_told_with_its_line_and_left_alone() {
    let directory = with_ann();
    let path = directory.path().join("users.toml");
    let damaged = file(&directory) + "\n[users.bob]\nrole = []\n";
    std::fs::write(&path, &damaged).unwrap();
    let line = damaged.lines().count();
    for arguments in [&["list"][..], &["rm", "ann"]] {
        let ended = user(&directory, arguments);
        assert!(ended.code == 64 && ended.stderr.contains(&format!("users.toml:{line}: ")), "{ended:?}");
    }
    assert_eq!(file(&directory), damaged);
    let check = ["config", "check", "--set", "security.users-file=users.toml"];
    let ended = end(command(&directory, &check));
    assert!(ended.code == 64 && ended.stderr.contains(&format!("users.toml:{line}: ")), "{ended:?}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(user(&directory, &["list"]).stderr.contains("is open to others (mode 644)"));
}

#[test]
fn users_added_at_the_same_time_are_all_there() {
    let directory = with_ann();
    let add = |i: usize| {
        let arguments = ["user", "add", &format!("user{i}"), "--role", "user", "--no-password", "--file", "users.toml"];
        let mut add: Command = command(&directory, &arguments);
        add.stderr(Stdio::null()).spawn().unwrap()
    };
    let all: Vec<_> = (0..8).map(add).collect();
    for mut child in all {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(user(&directory, &["list"]).stdout.lines().count(), 1 + 1 + 8);
}
