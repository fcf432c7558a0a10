//! What can be said of `[zookeeper]` without asking it.

use super::schema::ZooKeeper;

/// Whether a store may stand under this path of ZooKeeper.
pub fn is_chroot(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('/') else { return false };
    let bad = |part: &str| matches!(part, "" | "." | "..") || part.chars().any(char::is_control);
    // What ZooKeeper keeps there is its own.
    let is_its_own = inner.split('/').next() == Some("zookeeper");
    inner.is_empty() || !is_its_own && !inner.split('/').any(bad)
}

impl ZooKeeper {
    /// Whether all servers are on this machine, where nobody else reaches them unless they listen elsewhere too.
    pub fn is_local(&self) -> bool {
        self.servers.iter().all(|server| {
            let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_store_may_stand_under() {
        for path in ["/", "/doyen", "/a/b", "/zookeepers"] {
            assert!(is_chroot(path), "{path}");
        }
        for path in ["", "doyen", "/doyen/", "//", "/a/../b", "/a/./b", "/a\n", "/zookeeper", "/zookeeper/doyen"] {
            assert!(!is_chroot(path), "{path:?}");
        }
    }

    #[test]
    fn servers_of_this_machine() {
        let of = |servers: &[&str]| {
            let servers = servers.iter().map(|&server| server.to_owned()).collect();
            ZooKeeper { servers, ..ZooKeeper::default() }.is_local()
        };
        assert!(of(&["127.0.0.1:2181", "[::1]:2181", "localhost:2181"]));
        assert!(!of(&["127.0.0.1:2181", "zk1:2181"]));
    }
}
