//! Scenarios of loading: which layer wins, and what is said of what is wrong.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Errors, Sources, load, reference};

struct Scene {
    directory: tempfile::TempDir,
    sources: Sources,
}

fn file(text: &str) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("doyen.toml"), text).unwrap();
    let sources = Sources { directory: Some(directory.path().to_owned()), ..Sources::default() };
    Scene { directory, sources }
}

impl Scene {
    fn environment(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, text: &str) -> Self {
        self.sources.set.push(text.to_owned());
        self
    }

    fn config(&self) -> Config {
        load(&self.sources).unwrap()
    }

    /// The lines, with the directory left out of the file's name.
    fn errors(&self) -> Vec<String> {
        let Errors(problems) = load(&self.sources).unwrap_err();
        let text = Errors(problems).to_string();
        text.replace(&format!("{}/", self.directory.path().display()), "").lines().map(str::to_owned).collect()
    }
}

#[test]
fn nothing_said_gives_the_defaults() {
    assert_eq!(load(&Sources::default()).unwrap(), Config::default());
}

#[test]
fn the_reference_as_a_file_gives_the_defaults() {
    assert_eq!(file(reference()).config(), Config::default());
}

#[test]
fn no_file_in_the_directory_is_fine_but_a_named_file_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources { directory: Some(directory.path().to_owned()), ..Sources::default() };
    assert!(load(&sources).is_ok());
    let named = Sources { file: Some(directory.path().join("no.toml")), ..Sources::default() };
    let text = load(&named).unwrap_err().to_string();
    assert!(text.contains("no.toml: cannot read the configuration file: No such file"), "{text}");
}

#[test]
fn each_layer_overrides_the_one_before() {
    let mut scene =
        file("[http]\nmax-requests = 2\nmax-connections = 2\nlisten = \"127.0.0.1:2\"\n[jobs]\nlist-limit = 2")
            .environment("DOYEN__HTTP__MAX_REQUESTS", "3")
            .environment("DOYEN__HTTP__MAX_CONNECTIONS", "3")
            .environment("DOYEN__HTTP__LISTEN", "127.0.0.1:3")
            .set("http.max-requests=4")
            .set("http.listen=127.0.0.1:4");
    scene.sources.http = Some("127.0.0.1:5".into());
    scene.sources.node = Some("5".into());
    let config = scene.config();
    assert_eq!(config.jobs.list_limit, 2);
    assert_eq!((config.http.max_connections, config.http.max_requests), (3, 4));
    assert_eq!(config.http.listen.port(), 5);
    assert_eq!(config.node.name, "5");
}

#[test]
fn a_kind_of_driver_is_merged_key_by_key() {
    let text = concat!(
        "[drivers.pyspark]\nexecutable = \"/opt/python\"\n",
        "[drivers.pyspark.settings]\nspark.executor.memory = \"2g\"\n",
        "[drivers.mine]\nexecutable = \"me\"\n",
    );
    let config = file(text)
        .environment("DOYEN__DRIVERS__PYSPARK__ENVIRONMENT__JAVA_HOME", "/opt/java")
        .set("drivers.pyspark.settings.\"spark.cores.max\"=4")
        .config();
    let pyspark = &config.drivers.0["pyspark"];
    assert_eq!(pyspark.executable, "/opt/python");
    assert_eq!(pyspark.arguments, ["-m", "doyen_driver"]);
    assert_eq!(pyspark.environment["JAVA_HOME"], "/opt/java");
    assert_eq!(pyspark.settings["spark.master"].as_str(), Some("local[*]"));
    assert_eq!(pyspark.settings["spark.executor.memory"].as_str(), Some("2g"));
    assert_eq!(pyspark.settings["spark.cores.max"].as_integer(), Some(4));
    assert_eq!(config.drivers.0["mine"].executable, "me");
    assert_eq!(config.drivers.0["python"], Config::default().drivers.0["python"]);
}

#[test]
fn texts_are_toml_or_else_strings() {
    let config = file("")
        .set("node.name=12")
        .set("node.data-dir = /srv/doyen")
        .set("http.cors-origins=[\"https://a.example\"]")
        .set("jobs.sync-timeout=5s")
        .set("log={ level = \"debug\", format = \"json\" }")
        .environment("DOYEN__DRIVERS__PYTHON__ENVIRONMENT__OMP_NUM_THREADS", "4")
        .environment("DOYEN__DRIVERS__PYTHON__EXECUTABLE", "python3.12")
        .config();
    assert_eq!(config.node.name, "12");
    assert_eq!(config.node.data_dir, PathBuf::from("/srv/doyen"));
    assert_eq!(config.http.cors_origins, ["https://a.example"]);
    assert_eq!(config.jobs.sync_timeout, Duration::from_secs(5));
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.drivers.0["python"].environment["OMP_NUM_THREADS"], "4");
    assert_eq!(config.drivers.0["python"].executable, "python3.12");
}

#[test]
fn unknown_names_get_the_nearest_known_one() {
    let scene = file("[http]\n\nlisen = 1\n[contxts]\nmax = 1\n")
        .environment("DOYEN__HTTP__MAX_REQUEST", "1")
        .environment("DOYEN_URL", "not ours")
        .set("log.levl=info")
        .set("node.zzz=1");
    assert_eq!(
        scene.errors(),
        [
            "error: doyen.toml:3: unknown key `http.lisen`",
            "hint: did you mean `http.listen`?",
            "error: doyen.toml:4: unknown section `contxts`",
            "hint: did you mean `[contexts]`?",
            "error: DOYEN__HTTP__MAX_REQUEST: unknown key `http.max-request`",
            "hint: did you mean `DOYEN__HTTP__MAX_REQUESTS`?",
            "error: --set log.levl=info: unknown key `log.levl`",
            "hint: did you mean `log.level`?",
            "error: --set node.zzz=1: unknown key `node.zzz`",
            "hint: there is name, data-dir",
        ]
    );
}

#[test]
fn wrong_types_and_values_are_all_told_with_their_lines() {
    let scene = file(concat!(
        "log = 3\n[http]\nmax-requests = \"many\"\nmax-connections = -1\nlisten = \"localhost:1\"\n",
        "[jobs]\nsync-timeout = 10\n[drivers]\npython = 1\n[drivers.mine]\nenvironment = { A = 1 }\nexecutable = \"x\"\n"
    ));
    assert_eq!(
        scene.errors(),
        [
            "error: doyen.toml:1: `log` is a section of keys, not a value",
            "error: doyen.toml:3: `http.max-requests`: invalid type: string \"many\", expected a whole number from 0 on",
            "error: doyen.toml:4: `http.max-connections`: invalid value: integer `-1`, expected a whole number from 0 on",
            "error: doyen.toml:5: `http.listen`: invalid socket address syntax",
            "hint: write an IP address and a port, like 127.0.0.1:8090 or [::1]:8090",
            "error: doyen.toml:7: `jobs.sync-timeout`: invalid type: integer `10`, expected a duration like \"10s\"",
            "error: doyen.toml:9: `drivers.python` is a section of keys, not a value",
            "error: doyen.toml:11: `drivers.mine.environment.A`: invalid type: integer `1`, expected a string",
        ]
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let errors = file("[http]\nlisten = \n").errors();
    assert!(errors[0].starts_with("error: doyen.toml:2: not TOML: "), "{errors:?}");
    let scene = file("");
    std::fs::write(scene.directory.path().join("doyen.toml"), [0xff, 0xfe]).unwrap();
    assert_eq!(scene.errors()[1], "hint: it has to be text in UTF-8");
}

#[test]
fn a_set_without_a_key_is_refused() {
    for text in ["http.listen", "=1", "a..b=1", "a b=1", "x=1\n=2"] {
        let errors = file("").set(text).errors();
        assert!(errors[0].starts_with("error: --set "), "{errors:?}");
    }
    for name in ["DOYEN__", "DOYEN__HTTP", "DOYEN____", "DOYEN__HTTP__"] {
        assert!(!file("").environment(name, "1").errors().is_empty(), "{name}");
    }
}

#[test]
fn an_address_that_others_reach_needs_insecure() {
    let scene = file("[http]\nlisten = \"0.0.0.0:8090\"\n");
    assert!(
        scene.errors()[0].starts_with("error: doyen.toml:2: `http.listen` is 0.0.0.0:8090, which others can reach")
    );
    assert!(scene.errors()[1].contains("http.insecure = true"));
    assert!(load(&scene.set("http.insecure=true").sources).is_ok());
}

#[test]
fn rules_name_the_place_of_the_value_that_breaks_them() {
    for (text, told) in [
        ("node.name=a b", "`node.name` is \"a b\""),
        ("node.name=../x", "`node.name` is \"../x\""),
        ("contexts.fence-wait=10m", "`contexts.fence-wait` must be longer"),
        ("contexts.orphan-timeout=1h", "`contexts.fence-wait` must be longer"),
        ("jobs.list-limit=0", "`jobs.list-limit` must not be 0"),
        ("jobs.list-limit=20000", "`jobs.list-limit` is over `jobs.max-list-limit`"),
        ("log.level=loud", "`log.level` is \"loud\""),
        ("log.level=info,doyen", "`log.level` is \"info,doyen\""),
        ("drivers.mine.arguments=[]", "`drivers.mine.executable` is empty"),
        ("security.cp-directories=[\"x\"]", "`security.cp-directories`: `x` is not an absolute path"),
        ("security.cp-hosts=[\"http://x\"]", "`security.cp-hosts`: `http://x` is not a host"),
        ("http.cors-origins=[\"x\"]", "`http.cors-origins`: `x` is not an origin"),
        ("retention.unreferenced-age=11m", "`retention.unreferenced-age` must be longer than `contexts.fence-wait`"),
        ("retention.binaries-unused-age=91d", "`retention.binaries-unused-age` is over `retention.jobs-age`"),
        ("retention.batch=0", "`retention.batch` has to be 1 to 10000"),
        ("retention.jobs-age=never", "or `off`"),
        ("events.max-streams=0", "`events.max-streams` must not be 0"),
        ("contexts.orphan-timeout=9s", "`contexts.orphan-timeout` is 9s; it has to be at least 10s"),
        ("contexts.orphan-timeout=0s", "`contexts.orphan-timeout` is 0s; it has to be at least 10s"),
        ("contexts.creation-timeout=1ms", "`contexts.creation-timeout` is 1ms; it has to be at least 1s"),
        ("contexts.healthy-after=0s", "`contexts.healthy-after` is 0s; it has to be at least 1s"),
        ("contexts.idle-timeout=5ms", "`contexts.idle-timeout` is 5ms; it has to be at least 1s, or 0s for never"),
        ("contexts.max-lifetime=999ms", "`contexts.max-lifetime` is 999ms; it has to be at least 1s"),
        ("contexts.max-restarts=1001", "`contexts.max-restarts` is over 1000"),
        ("tls.reload-interval=0s", "`tls.reload-interval` is 0s; it has to be at least 1s"),
        ("hocon.max-depth=100000", "`hocon.max-depth` is over 120"),
    ] {
        let errors = file("").set(text).errors();
        assert!(errors[0].contains(told), "{errors:?}");
    }
    let errors = file("[contexts]\norphan-timeout = \"1h\"").errors();
    assert!(errors[0].starts_with("error: doyen.toml:2: "), "{errors:?}");
}

#[test]
fn what_depends_on_a_refused_value_is_not_judged() {
    let errors = file("[contexts]\norphan-timeout = \"2h\"\nfence-wait = \"3 hours\"").errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_from_outside_makes_loading_panic(
        parts in proptest::collection::vec("(drivers|http|settings|environment|python|listen|[a-z\"]{0,3})", 1..6),
        value in "(\\{ ?([a-z\"]{1,3} ?= ?[0-9\"]{1,3},? ?)*\\}|\\[[0-9, ]*\\]|[ -~]{0,8})",
    ) {
        let scene = file(&format!("{} = {value}\n", parts.join(".")))
            .environment(&format!("DOYEN__{}", parts.join("__").to_uppercase()), &value)
            .set(&format!("{}={value}", parts.join(".")));
        let _ = load(&scene.sources);
    }
}
