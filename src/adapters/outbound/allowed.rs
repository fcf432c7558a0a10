//! What the allow-lists say of hosts, addresses and files.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::ports::OutboundError;

/// Addresses that reach no further than the link, where clouds answer with credentials.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

pub fn http(url: &Url, hosts: &[String], key: &str, allow_link_local: bool) -> Result<(), OutboundError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(OutboundError::Malformed(format!("{url}: the scheme {} is not supported here", url.scheme())));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(OutboundError::Malformed(format!("{url} names no host")));
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if address.is_ok_and(is_link_local) && !allow_link_local {
        return Err(OutboundError::Forbidden(format!("{host} is a link-local address (security.allow-link-local)")));
    }
    if hosts.iter().any(|pattern| matches(pattern, host)) {
        return Ok(());
    }
    Err(OutboundError::Forbidden(format!("the host {host} is not in {key}")))
}

fn matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    match pattern.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == "*" || pattern == host,
    }
}

/// The file with all links resolved, when it lies below one of the directories.
pub fn file(path: &Path, directories: &[PathBuf]) -> Result<PathBuf, OutboundError> {
    if directories.is_empty() {
        let text = "files of the server are not open to cp (security.cp-directories)".to_owned();
        return Err(OutboundError::Forbidden(text));
    }
    let shown = path.display();
    let real = path.canonicalize().map_err(|error| OutboundError::Failed(format!("{shown}: {error}")))?;
    let inside = directories.iter().filter_map(|d| d.canonicalize().ok()).any(|directory| real.starts_with(directory));
    if inside {
        Ok(real)
    } else {
        Err(OutboundError::Forbidden(format!("{shown} is not below security.cp-directories")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, hosts: &[&str]) -> Result<(), OutboundError> {
        let hosts: Vec<String> = hosts.iter().map(|&h| h.to_owned()).collect();
        http(&Url::parse(url).unwrap(), &hosts, "key", false)
    }

    #[test]
    fn hosts_match_whole_or_below_a_star() {
        assert_eq!(check("http://a.example.org/x", &["*.example.org"]), Ok(()));
        assert!(check("http://badexample.org/x", &["*.example.org"]).is_err());
        assert_eq!(check("https://HOST:1/x", &["host"]), Ok(()));
        assert!(check("http://host/x", &[]).is_err());
    }

    #[test]
    fn link_local_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://169.254.169.254/x",
            "http://0xA9FEA9FE/x",
            "http://2852039166/x",
            "http://[fe80::1]/x",
            "http://[::ffff:169.254.169.254]/x",
        ] {
            assert!(check(url, &["*"]).is_err(), "{url}");
        }
        assert_eq!(check("http://127.0.0.1:1/x", &["*"]), Ok(()));
    }

    #[test]
    fn other_schemes_are_malformed() {
        assert!(matches!(check("ftp://host/x", &["*"]), Err(OutboundError::Malformed(_))));
    }

    #[test]
    fn a_file_outside_or_behind_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.whl"), "").unwrap();
        std::fs::write(dir.path().join("b.whl"), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("b.whl"), inside.join("link.whl")).unwrap();
        let allowed = [inside.clone()];
        assert!(file(&inside.join("a.whl"), &allowed).is_ok());
        assert!(file(&inside.join("../b.whl"), &allowed).is_err());
        assert!(file(&inside.join("link.whl"), &allowed).is_err());
        assert!(file(&inside.join("a.whl"), &[]).is_err());
    }
}
