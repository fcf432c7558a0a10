//! `config`, `version`, usage.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};

use crate::support::{command, end, run};

#[test]
fn config_default_prints_the_reference() {
    let ended = run(&["config", "default"]);
    assert_eq!(ended.code, 0);
    assert_eq!(ended.stdout, include_str!("../../conf/doyen.toml"));
}

#[test]
fn what_config_default_prints_is_a_valid_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("doyen.toml"), run(&["config", "default"]).stdout).unwrap();
    let ended = end(command(&directory, &["config", "check"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "the configuration is valid\n"));
    assert_eq!(ended.stdout, "");
}

#[test]
fn config_check_names_file_line_key_and_nearest_key_of_everything() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("doyen.toml"), "[http]\nlisen = \"x\"\nmax-requests = true\n").unwrap();
    let mut check = command(&directory, &["config", "check", "--set", "jobs.list-limit=-1", "--http", "here"]);
    check.env("DOYEN__NODE__NAM", "x").env("DOYEN_URL", "http://elsewhere");
    let ended = end(check);
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.stderr,
        "error: doyen.toml:2: unknown key `http.lisen`\n\
         hint: did you mean `http.listen`?\n\
         error: doyen.toml:3: `http.max-requests`: invalid type: boolean `true`, expected a whole number from 0 on\n\
         error: DOYEN__NODE__NAM: unknown key `node.nam`\n\
         hint: did you mean `DOYEN__NODE__NAME`?\n\
         error: --set jobs.list-limit=-1: `jobs.list-limit`: invalid value: integer `-1`, expected a whole number from 0 on\n\
         error: --http: `http.listen`: invalid socket address syntax\n\
         hint: write an IP address and a port, like 127.0.0.1:8090 or [::1]:8090\n"
    );
}

#[test]
fn a_named_file_that_is_not_there() {
    let ended = run(&["config", "check", "--config", "no.toml"]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.starts_with("error: no.toml: cannot read the configuration file: No such file"), "{ended:?}");
}

#[test]
fn an_open_address_is_refused_with_what_to_do() {
    let ended = run(&["config", "check", "--http", "0.0.0.0:8090"]);
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.starts_with("error: --http: `http.listen` is 0.0.0.0:8090"), "{ended:?}");
    assert_eq!(run(&["config", "check", "--http", "0.0.0.0:8090", "--set", "http.insecure=true"]).code, 0);
}

#[test]
fn version_as_text_and_json() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&["version"]).stdout, format!("doyen {version}\n"));
    assert_eq!(run(&["version", "--json"]).stdout, format!("{{\"version\":\"{version}\"}}\n"));
}

#[test]
fn wrong_arguments_end_with_2_and_help_lists_the_codes() {
    assert_eq!(run(&[]).code, 2);
    let ended = run(&["job", "lst"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("similar subcommand exists: 'list'"), "{ended:?}");
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("   3  no server can be reached"), "{help:?}");
    assert!(!help.stdout.contains("shim  "), "{help:?}");
}

/// What is wrong with the stores' settings: the check and the server say the same, and wait for nothing.
#[test]
fn what_a_server_would_refuse_the_check_refuses_with_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let issued = || {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["a".into()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let ((certificate, key), (_, other)) = (issued(), issued());
    for (name, text, mode) in [
        ("good", "doyen:secret", 0o600),
        ("empty", "", 0o600),
        ("open", "doyen:secret", 0o644),
        ("no-colon", "doyen", 0o600),
        ("pem", &certificate, 0o600),
        ("key", &key, 0o600),
        ("other-key", &other, 0o600),
    ] {
        write(name, text, mode);
    }
    let auth = |file: &str| vec![format!("zookeeper.auth-file={file:?}")];
    let tls = |ca: &str, certificate: &str, key: &str| {
        let files = [("ca", ca), ("certificate", certificate), ("key", key)];
        files.map(|(name, file)| format!("zookeeper.tls-{name}={file:?}")).to_vec()
    };
    for (settings, words) in [
        (vec!["zookeeper.chroot=\"doyen\"".to_owned()], "`zookeeper.chroot`"),
        (vec!["zookeeper.chroot=\"/zookeeper/doyen\"".to_owned()], "/zookeeper is its own"),
        (vec!["jobs.inline-result-bytes=900000".to_owned()], "`jobs.inline-result-bytes`"),
        (auth("none"), "`zookeeper.auth-file`"),
        (auth("empty"), "user:password"),
        (auth("no-colon"), "user:password"),
        (auth("open"), "is open to others"),
        (tls("none", "pem", "key"), "`zookeeper.tls-ca`"),
        (tls("good", "pem", "key"), "no certificate in PEM"),
        (tls("pem", "none", "key"), "zookeeper.tls-certificate"),
        (tls("pem", "pem", "pem"), "no private key in PEM"),
        (tls("pem", "pem", "other-key"), "does not belong to the certificate"),
        (
            vec!["store.hdfs.url=\"hdfs://nn:8020\"".into(), "store.hdfs.conf-dir=\"/nonexistent\"".into()],
            "`store.hdfs.conf-dir`",
        ),
        (
            vec!["store.binaries=\"shared\"".into(), "store.shared.directory=\"/nonexistent\"".into()],
            "`store.shared.directory` is /nonexistent, which is no directory",
        ),
    ] {
        let stores = ["store.metadata=\"zookeeper\"".to_owned(), "store.binaries=\"hdfs\"".to_owned()];
        let chosen =
            |setting: &&String| !settings.iter().any(|other| other.starts_with(setting.split('=').next().unwrap()));
        let with = |what: &[&str]| {
            let mut command = command(&directory, what);
            command.args(stores.iter().filter(chosen).chain(&settings).flat_map(|setting| ["--set", setting]));
            end(command)
        };
        let check = with(&["config", "check"]);
        assert!(check.code == 64 && check.stderr.contains(words), "{settings:?}: {check:?}");
        let server = with(&["server", "--http", "127.0.0.1:0", "--data-dir", "data"]);
        assert_eq!(server.code, 64, "{settings:?}: {server:?}");
        let complaint = check.stderr.lines().next().unwrap();
        assert!(server.stderr.contains(complaint), "{complaint}: {server:?}");
    }
    let mut good = command(&directory, &["config", "check", "--set", "store.metadata=\"zookeeper\""]);
    good.args(auth("good").iter().chain(&tls("pem", "pem", "key")).flat_map(|setting| ["--set", setting]));
    assert_eq!(end(good).code, 0);
}

#[test]
fn the_file_has_a_short_option_everywhere() {
    for what in [&["config", "check"][..], &["server"], &["user", "list"], &["store", "check"]] {
        let ended = run(&[what, &["-c", "no.toml"]].concat());
        assert!(ended.code == 64 && ended.stderr.contains("no.toml: cannot read"), "{what:?}: {ended:?}");
    }
}
