//! What types alone cannot say: ranges, and keys that must go together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Errors, Problem};
use super::schema::{Config, Driver, Metadata, ZooKeeper};

/// Longest name of a node, in bytes.
const MAX_NODE_NAME_BYTES: usize = 64;

/// Deeper JSON is refused by the library that reads a stored configuration back (at 128).
const MAX_HOCON_DEPTH: usize = 120;

/// The end of a job has to fit into one commit with its result.
const MAX_INLINE_IN_ZOOKEEPER: u64 = 512 * 1024;

/// More would hold up the commits of jobs.
const MAX_RETENTION_BATCH: usize = 10_000;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A rule that does not hold, and the keys that it is about.
pub(super) struct Invalid {
    pub(super) keys: Vec<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Config {
    /// Whether the values go together. `load` has asked already; this is for a `Config` that was made by hand.
    ///
    /// # Errors
    /// Every rule that does not hold.
    pub fn validate(&self) -> Result<(), Errors> {
        let problem = |found: Invalid| Problem { origin: None, message: found.message, hint: found.hint };
        let problems: Vec<Problem> = invalid(self).into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(Errors(problems)) }
    }
}

pub(super) fn invalid(config: &Config) -> Vec<Invalid> {
    let mut rules = Rules(Vec::new());
    node(config, &mut rules);
    listen(config, &mut rules);
    tls(config, &mut rules);
    not_zero(config, &mut rules);
    durations(config, &mut rules);
    limits(config, &mut rules);
    drivers(&config.drivers.0, &mut rules);
    security(config, &mut rules);
    super::access::rules(&config.security, &mut rules);
    super::least::rules(config, &mut rules);
    super::binaries::rules(config, &mut rules);
    super::s3::rules(config, &mut rules);
    log_level(&config.log.level, &mut rules);
    retention(config, &mut rules);
    events(config, &mut rules);
    zookeeper(&config.zookeeper, &mut rules);
    super::history::rules(&config.history, &mut rules);
    rules.0
}

pub(super) struct Rules(Vec<Invalid>);

impl Rules {
    pub(super) fn hold(&mut self, holds: bool, keys: &[&str], message: impl Into<String>, hint: Option<&str>) {
        if !holds {
            let keys = keys.iter().map(|&key| key.to_owned()).collect();
            self.0.push(Invalid { keys, message: message.into(), hint: hint.map(str::to_owned) });
        }
    }
}

fn node(config: &Config, rules: &mut Rules) {
    let name = &config.node.name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = !name.is_empty()
        && name.len() <= MAX_NODE_NAME_BYTES
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    rules.hold(
        good,
        &["node.name"],
        format!(
            "`node.name` is {name:?}; it has to be 1 to {MAX_NODE_NAME_BYTES} letters, digits, `-`, `_` or `.`, \
             and begin with a letter or digit"
        ),
        Some("a host name will do"),
    );
    let directory = &config.node.data_dir;
    rules.hold(!directory.as_os_str().is_empty(), &["node.data-dir"], "`node.data-dir` is empty", None);
}

fn listen(config: &Config, rules: &mut Rules) {
    let address = config.http.listen;
    rules.hold(
        config.http.insecure
            || config.tls.require_client_certificate
            || config.security.users_file.is_some()
            || address.ip().is_loopback(),
        &["http.listen"],
        format!(
            "`http.listen` is {address}, which others can reach, and nothing authenticates them: \
             whoever reaches a job server runs code on it"
        ),
        Some(
            "name the users with `security.users-file`, listen on 127.0.0.1 behind a proxy that authenticates, or, on a \
             network that you trust, set `http.insecure = true`",
        ),
    );
}

fn tls(config: &Config, rules: &mut Rules) {
    let tls = &config.tls;
    let is_on = tls.certificate.is_some();
    rules.hold(
        is_on == tls.key.is_some(),
        &["tls.certificate", "tls.key"],
        "`tls.certificate` and `tls.key` go together",
        Some("both are files in PEM; certbot calls them fullchain.pem and privkey.pem"),
    );
    for (key, file) in [("tls.client-ca", &tls.client_ca), ("tls.driver-trust", &tls.driver_trust)] {
        rules.hold(
            is_on || file.is_none(),
            &[key],
            format!("`{key}` has no effect without `tls.certificate` and `tls.key`"),
            None,
        );
    }
    rules.hold(
        !tls.require_client_certificate || tls.client_ca.is_some(),
        &["tls.require-client-certificate"],
        "`tls.require-client-certificate` needs `tls.client-ca`, the authorities whose certificates are taken",
        None,
    );
    let scheme = if is_on { "https://" } else { "http://" };
    let advertised = config.http.advertise.as_deref();
    rules.hold(
        advertised.is_none_or(|url| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())),
        &["http.advertise"],
        format!("`http.advertise` is {:?}; it has to begin with {scheme}", advertised.unwrap_or_default()),
        None,
    );
}

fn not_zero(config: &Config, rules: &mut Rules) {
    let Config { http, jobs, contexts, store, callbacks, hocon, idempotency, .. } = config;
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    for (key, number) in [
        ("http.max-connections", wide(http.max_connections)),
        ("http.max-requests", wide(http.max_requests)),
        ("http.max-body-bytes", http.max_body_bytes),
        ("http.max-upload-bytes", http.max_upload_bytes),
        ("jobs.max-per-context", jobs.max_per_context.into()),
        ("jobs.max-queued-per-context", wide(jobs.max_queued_per_context)),
        ("jobs.list-limit", wide(jobs.list_limit)),
        ("jobs.max-list-limit", wide(jobs.max_list_limit)),
        ("jobs.max-result-bytes", jobs.max_result_bytes),
        ("jobs.log-bytes", jobs.log_bytes),
        ("contexts.max", wide(contexts.max)),
        ("store.cache-bytes", wide(store.cache_bytes)),
        ("store.driver-cache-bytes", store.driver_cache_bytes),
        ("store.max-unpacked-bytes", store.max_unpacked_bytes),
        ("store.max-archive-entries", store.max_archive_entries),
        ("callbacks.attempts", callbacks.attempts.into()),
        ("callbacks.concurrency", wide(callbacks.concurrency)),
        ("callbacks.concurrency-per-target", wide(callbacks.concurrency_per_target)),
        ("hocon.max-depth", wide(hocon.max_depth)),
        ("hocon.max-values", wide(hocon.max_values)),
        ("hocon.max-expanded-bytes", wide(hocon.max_expanded_bytes)),
        ("idempotency.max-keys", idempotency.max_keys),
    ] {
        rules.hold(number > 0, &[key], format!("`{key}` must not be 0"), None);
    }
}

fn zookeeper(zookeeper: &ZooKeeper, rules: &mut Rules) {
    let address = |server: &String| {
        let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains([',', '/']));
        port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    rules.hold(
        !zookeeper.servers.is_empty() && zookeeper.servers.iter().all(address),
        &["zookeeper.servers"],
        "`zookeeper.servers` has to list the servers, each as host:port",
        None,
    );
    rules.hold(
        super::is_chroot(&zookeeper.chroot),
        &["zookeeper.chroot"],
        format!("`zookeeper.chroot` is {:?}", zookeeper.chroot),
        Some("a path of ZooKeeper begins with `/`, none of its parts is empty, `.` or `..`, and /zookeeper is its own"),
    );
    rules.hold(
        zookeeper.tls_certificate.is_some() == zookeeper.tls_key.is_some(),
        &["zookeeper.tls-certificate", "zookeeper.tls-key"],
        "`zookeeper.tls-certificate` and `zookeeper.tls-key` go together",
        None,
    );
    rules.hold(
        zookeeper.tls_certificate.is_none() || zookeeper.tls_ca.is_some(),
        &["zookeeper.tls-certificate", "zookeeper.tls-ca"],
        "`zookeeper.tls-certificate` has no effect without `zookeeper.tls-ca`, the authorities of the servers",
        None,
    );
    for (key, duration) in [
        ("zookeeper.session-timeout", zookeeper.session_timeout),
        ("zookeeper.commit-timeout", zookeeper.commit_timeout),
    ] {
        let within = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&duration);
        rules.hold(within, &[key], format!("`{key}` has to be from 1s to 10m"), None);
    }
}

fn durations(config: &Config, rules: &mut Rules) {
    let Config { jobs, contexts, callbacks, idempotency, .. } = config;
    for (key, duration) in [
        ("jobs.sync-timeout", jobs.sync_timeout),
        ("jobs.max-wait", jobs.max_wait),
        ("callbacks.timeout", callbacks.timeout),
        ("callbacks.backoff", callbacks.backoff),
        ("idempotency.keep", idempotency.keep),
        ("callbacks.max-age", callbacks.max_age),
    ] {
        rules.hold(duration > Duration::ZERO, &[key], format!("`{key}` must not be 0"), None);
    }
    rules.hold(
        callbacks.backoff <= callbacks.max_backoff,
        &["callbacks.backoff", "callbacks.max-backoff"],
        "`callbacks.backoff` is over `callbacks.max-backoff`",
        None,
    );
    rules.hold(
        contexts.fence_wait > contexts.orphan_timeout,
        &["contexts.fence-wait", "contexts.orphan-timeout"],
        "`contexts.fence-wait` must be longer than `contexts.orphan-timeout`",
        Some("otherwise a context could be given up while its driver still works"),
    );
}

fn limits(config: &Config, rules: &mut Rules) {
    let Config { jobs, contexts, hocon, .. } = config;
    rules.hold(
        jobs.list_limit <= jobs.max_list_limit,
        &["jobs.list-limit", "jobs.max-list-limit"],
        "`jobs.list-limit` is over `jobs.max-list-limit`",
        None,
    );
    rules.hold(
        jobs.sync_timeout <= jobs.max_wait,
        &["jobs.sync-timeout", "jobs.max-wait"],
        "`jobs.sync-timeout` is over `jobs.max-wait`",
        None,
    );
    rules.hold(
        jobs.inline_result_bytes <= jobs.max_result_bytes,
        &["jobs.inline-result-bytes", "jobs.max-result-bytes"],
        "`jobs.inline-result-bytes` is over `jobs.max-result-bytes`",
        None,
    );
    rules.hold(
        config.store.metadata != Metadata::ZooKeeper || jobs.inline_result_bytes <= MAX_INLINE_IN_ZOOKEEPER,
        &["jobs.inline-result-bytes", "store.metadata"],
        format!("`jobs.inline-result-bytes` is over {MAX_INLINE_IN_ZOOKEEPER}, and `store.metadata` is \"zookeeper\""),
        Some("ZooKeeper takes 900 kB at once; longer results go to the store of binaries"),
    );
    rules.hold(
        hocon.max_depth <= MAX_HOCON_DEPTH,
        &["hocon.max-depth"],
        format!("`hocon.max-depth` is over {MAX_HOCON_DEPTH}"),
        None,
    );
    rules.hold(
        jobs.retries <= jobs.max_retries,
        &["jobs.retries", "jobs.max-retries"],
        "`jobs.retries` is over `jobs.max-retries`",
        None,
    );
    let factory = !contexts.default_factory.trim().is_empty();
    rules.hold(factory, &["contexts.default-factory"], "`contexts.default-factory` is empty", None);
}

fn drivers(drivers: &BTreeMap<String, Driver>, rules: &mut Rules) {
    for (kind, driver) in drivers {
        let key = |name: &str| format!("drivers.{kind}.{name}");
        let word = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let message = format!("`{kind}` cannot name a kind of driver; use letters, digits, `-` and `_`");
        rules.hold(word, &[&key("executable")], message, None);
        let message = format!("`{}` is empty", key("executable"));
        rules.hold(!driver.executable.trim().is_empty(), &[&key("executable")], message, None);
        rules.hold(
            driver.log_bytes != Some(0),
            &[&key("log-bytes")],
            format!("`{}` must not be 0", key("log-bytes")),
            None,
        );
        for (name, value) in &driver.environment {
            let good = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            let key = key(&format!("environment.{name}"));
            rules.hold(good, &[&key], format!("`{key}` cannot be an environment variable"), None);
        }
    }
}

fn security(config: &Config, rules: &mut Rules) {
    let host = |name: &String| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        name == "*" || (!name.is_empty() && !name.contains(['/', '*', ' ', '@']))
    };
    let security = &config.security;
    for (key, hosts) in
        [("security.cp-hosts", &security.cp_hosts), ("security.callback-hosts", &security.callback_hosts)]
    {
        for name in hosts.iter().filter(|name| !host(name)) {
            let hint = "write example.org, *.example.org or *";
            rules.hold(false, &[key], format!("`{key}`: `{name}` is not a host"), Some(hint));
        }
    }
    for directory in &security.cp_directories {
        let message = format!("`security.cp-directories`: `{}` is not an absolute path", directory.display());
        rules.hold(directory.is_absolute(), &["security.cp-directories"], message, None);
    }
    for origin in &config.http.cors_origins {
        let good = origin == "*" || (origin.contains("://") && !origin.ends_with('/') && !origin.contains(' '));
        let message = format!("`http.cors-origins`: `{origin}` is not an origin");
        rules.hold(good, &["http.cors-origins"], message, Some("write https://example.org or *"));
    }
}

fn log_level(text: &str, rules: &mut Rules) {
    let level = |name: &str| LEVELS.contains(&name.to_ascii_lowercase().as_str());
    let good = text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((target, name)) => !target.trim().is_empty() && level(name.trim()),
        None => level(part),
    });
    let hint = format!("one of {}; or more, like info,doyen::jobs=debug", LEVELS.join(", "));
    rules.hold(good, &["log.level"], format!("`log.level` is {text:?}, which is no level"), Some(&hint));
}

fn retention(config: &Config, rules: &mut Rules) {
    let retention = &config.retention;
    let not_0 = |key: &str| format!("`{key}` must not be 0");
    rules.hold(retention.interval > Duration::ZERO, &["retention.interval"], not_0("retention.interval"), None);
    rules.hold(
        (1..=MAX_RETENTION_BATCH).contains(&retention.batch),
        &["retention.batch"],
        format!("`retention.batch` has to be 1 to {MAX_RETENTION_BATCH}"),
        None,
    );
    rules.hold(
        retention.unreferenced_age > config.contexts.fence_wait,
        &["retention.unreferenced-age", "contexts.fence-wait"],
        "`retention.unreferenced-age` must be longer than `contexts.fence-wait`",
        Some("otherwise a result could go that its driver has stored and not yet told of"),
    );
    let known = match (retention.binaries_unused_age, retention.jobs_age) {
        (Some(unused), Some(jobs)) => unused <= jobs,
        _ => true,
    };
    rules.hold(
        known,
        &["retention.binaries-unused-age", "retention.jobs-age"],
        "`retention.binaries-unused-age` is over `retention.jobs-age`",
        Some("only jobs that are kept tell which binaries were used"),
    );
}

fn events(config: &Config, rules: &mut Rules) {
    let events = &config.events;
    let not_0 = |key: &str| format!("`{key}` must not be 0");
    for (key, good) in [
        ("events.max-streams", events.max_streams > 0),
        ("events.heartbeat", events.heartbeat > Duration::ZERO),
        ("events.stalled-after", events.stalled_after > Duration::ZERO),
    ] {
        rules.hold(good, &[key], not_0(key), None);
    }
}
