//! `[store.s3]`: binaries in a bucket.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Binaries;
use super::schema::Config;
use super::validate::Rules;

/// S3 copies no larger objects in one call, and each blob is copied when it is published or refreshed.
const MAX_COPY_BYTES: u64 = 5 << 30;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct S3 {
    /// None: AWS, in `region`.
    pub endpoint: Option<String>,
    pub bucket: Option<String>,
    /// None: `AWS_REGION`, `AWS_DEFAULT_REGION` or us-east-1.
    pub region: Option<String>,
    /// What all keys begin with.
    pub path: String,
    /// The bucket is in the path of a URL, not in the name of the host.
    pub path_style: bool,
    /// Allows an `endpoint` without TLS.
    pub allow_http: bool,
    /// Authorities in PEM that are trusted beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// In AWS's format. None: `AWS_*` variables, or what the machine is given.
    pub credentials_file: Option<PathBuf>,
    /// For each call; an upload and a download make many.
    #[serde(with = "super::duration")]
    pub deadline: Duration,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: None,
            bucket: None,
            region: None,
            path: "doyen".into(),
            path_style: true,
            allow_http: false,
            tls_ca: None,
            credentials_file: None,
            deadline: Duration::from_secs(30),
        }
    }
}

impl S3 {
    /// What is wrong with `endpoint`.
    fn endpoint_problem(&self) -> Option<&'static str> {
        let endpoint = self.endpoint.as_deref()?;
        let Some((scheme @ ("http" | "https"), host)) = endpoint.split_once("://") else {
            return Some("it has to be like https://s3.example.org:9000");
        };
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.is_empty() || host.contains(['@', '?', '#', ' ']) {
            return Some("it has to be like https://s3.example.org:9000");
        }
        if host.contains('/') {
            return Some("the bucket belongs into `store.s3.bucket`, and what keys begin with into `store.s3.path`");
        }
        (scheme == "http" && !self.allow_http).then_some(
            "without TLS all that is stored can be read and changed on the way; if that is meant, set `store.s3.allow-http`",
        )
    }
}

/// As S3 has them, and older ones of us-east-1 and of other stores, which may be longer and have capitals and `_`.
fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (3..=255).contains(&name.len()) && name.bytes().all(inner) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// Characters that no store takes for others, nor signs differently.
fn is_key(path: &str) -> bool {
    let plain = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'=');
        !matches!(part, "" | "." | "..") && part.bytes().all(known)
    };
    path.split('/').all(plain)
}

pub(super) fn rules(config: &Config, rules: &mut Rules) {
    let s3 = &config.store.s3;
    let chosen = config.store.binaries == Binaries::S3;
    let bucket = s3.bucket.as_deref();
    rules.hold(
        !chosen || bucket.is_some(),
        &["store.binaries", "store.s3.bucket"],
        "`store.binaries` is \"s3\", which needs `store.s3.bucket`",
        None,
    );
    rules.hold(
        bucket.is_none_or(is_bucket),
        &["store.s3.bucket"],
        format!("`store.s3.bucket` is {:?}", bucket.unwrap_or_default()),
        Some("it is the bare name of a bucket: letters, digits, `-` and `.`"),
    );
    let problem = s3.endpoint_problem();
    let endpoint = s3.endpoint.as_deref().unwrap_or_default();
    rules.hold(
        problem.is_none(),
        &["store.s3.endpoint", "store.s3.allow-http"],
        format!("`store.s3.endpoint` is {endpoint:?}"),
        problem,
    );
    rules.hold(
        s3.region
            .as_deref()
            .is_none_or(|region| !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_graphic())),
        &["store.s3.region"],
        "`store.s3.region` is no name of a region",
        None,
    );
    rules.hold(
        is_key(s3.path.trim_matches('/')),
        &["store.s3.path"],
        format!(
            "`store.s3.path` is {:?}; it is one name or more with `/` between, of letters, digits, `-`, `.` and `_`",
            s3.path
        ),
        None,
    );
    rules.hold(
        s3.deadline >= Duration::from_secs(1),
        &["store.s3.deadline"],
        "`store.s3.deadline` has to be 1s at least",
        None,
    );
    for (key, bytes) in [
        ("http.max-upload-bytes", config.http.max_upload_bytes),
        ("jobs.max-result-bytes", config.jobs.max_result_bytes),
    ] {
        rules.hold(
            !chosen || bytes <= MAX_COPY_BYTES,
            &["store.binaries", key],
            format!("`{key}` is {bytes}, and S3 copies objects of at most {MAX_COPY_BYTES} bytes"),
            None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(s3: S3) -> Vec<String> {
        let mut config = Config::default();
        config.store.binaries = Binaries::S3;
        config.store.s3 = s3;
        config
            .validate()
            .err()
            .map(|errors| errors.0.into_iter().map(|problem| problem.message).collect())
            .unwrap_or_default()
    }

    fn bucket() -> S3 {
        S3 { bucket: Some("doyen".into()), ..S3::default() }
    }

    #[test]
    fn a_bucket_is_enough_and_is_needed() {
        assert_eq!(problems(bucket()), [""; 0]);
        assert_eq!(problems(S3::default()), ["`store.binaries` is \"s3\", which needs `store.s3.bucket`"]);
    }

    #[test]
    fn endpoints_that_are_taken_and_refused() {
        let of =
            |endpoint: &str, allow_http| problems(S3 { endpoint: Some(endpoint.into()), allow_http, ..bucket() }).len();
        for (endpoint, plain, with_http) in [
            ("https://s3.example.org:9000", 0, 0),
            ("https://s3.example.org/", 0, 0),
            ("http://127.0.0.1:9000", 1, 0),
            ("https://s3.example.org/bucket", 1, 1),
            ("https://user:password@s3.example.org", 1, 1),
            ("s3.example.org", 1, 1),
            ("s3://doyen", 1, 1),
            ("https://", 1, 1),
        ] {
            assert_eq!((of(endpoint, false), of(endpoint, true)), (plain, with_http), "{endpoint}");
        }
    }

    #[test]
    fn names_that_are_no_buckets_or_paths_are_refused() {
        for name in ["", "a", "a/b", "s3://doyen", "-a-", "ä-bucket"] {
            assert_eq!(problems(S3 { bucket: Some(name.into()), ..S3::default() }).len(), 1, "{name}");
        }
        for path in ["", "/", "a//b", "../a", "a b", "ä"] {
            assert_eq!(problems(S3 { path: path.into(), ..bucket() }).len(), 1, "{path}");
        }
        for path in ["doyen", "/doyen/", "spark/doyen_1"] {
            assert_eq!(problems(S3 { path: path.into(), ..bucket() }), [""; 0], "{path}");
        }
    }

    #[test]
    fn what_s3_could_not_copy_may_not_be_uploaded() {
        let mut config = Config::default();
        config.http.max_upload_bytes = 6 << 30;
        config.store.s3 = bucket();
        assert!(config.validate().is_ok());
        config.store.binaries = Binaries::S3;
        assert!(config.validate().is_err());
    }
}
