//! Where binaries are kept: `[store] binaries`, and a table for each place that is not local.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schema::Config;
use super::validate::Rules;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binaries {
    /// Below `node.data-dir`.
    #[default]
    Local,
    /// A directory that several nodes see.
    Shared,
    Hdfs,
    S3,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Shared {
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Hdfs {
    /// `hdfs://host:port`, several such with commas, or a name service of `conf_dir`. None: its `fs.defaultFS`.
    pub url: Option<String>,
    /// Absolute. All binaries are below it.
    pub path: String,
    /// None: `HADOOP_USER_NAME`, or the user of the process.
    pub user: Option<String>,
    /// Where core-site.xml and hdfs-site.xml are. None: `HADOOP_CONF_DIR`, or `HADOOP_HOME/etc/hadoop`.
    pub conf_dir: Option<PathBuf>,
    /// For each call; an upload and a download make many.
    #[serde(with = "super::duration")]
    pub deadline: Duration,
}

impl Default for Hdfs {
    fn default() -> Self {
        Self { url: None, path: "/doyen".into(), user: None, conf_dir: None, deadline: Duration::from_secs(30) }
    }
}

impl Hdfs {
    /// `host:port` of each NameNode, or a name service.
    pub fn namenodes(&self) -> impl Iterator<Item = &str> {
        let url = self.url.as_deref().unwrap_or_default();
        let nodes = url.strip_prefix("hdfs://").unwrap_or_default().trim_end_matches('/');
        nodes.split(',').map(str::trim).filter(|node| !node.is_empty())
    }

    /// What is wrong with `url`.
    pub(super) fn url_problem(&self) -> Option<&'static str> {
        let url = self.url.as_deref()?;
        let has_port = |node: &str| node.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !url.starts_with("hdfs://") || self.namenodes().next().is_none() {
            return Some("it has to be like hdfs://namenode:8020, or hdfs://name-service");
        }
        if self.namenodes().any(|node| node.contains('/')) {
            return Some("the directory belongs into `store.hdfs.path`");
        }
        let several = self.namenodes().count() > 1;
        (several && !self.namenodes().all(has_port)).then_some("each of several NameNodes needs its port")
    }
}

pub(super) fn rules(config: &Config, rules: &mut Rules) {
    let store = &config.store;
    let directory = store.shared.directory.as_deref();
    rules.hold(
        store.binaries != Binaries::Shared || directory.is_some_and(std::path::Path::is_absolute),
        &["store.binaries", "store.shared.directory"],
        "`store.binaries` is \"shared\", which needs `store.shared.directory`, absolute",
        None,
    );
    let Hdfs { url, path, deadline, .. } = &store.hdfs;
    let problem = store.hdfs.url_problem();
    let message = format!("`store.hdfs.url` is {:?}", url.as_deref().unwrap_or_default());
    rules.hold(problem.is_none(), &["store.hdfs.url"], message, problem);
    let inner = path.strip_prefix('/').unwrap_or_default();
    rules.hold(
        !inner.is_empty() && inner.trim_end_matches('/').split('/').all(|part| !matches!(part, "" | "." | "..")),
        &["store.hdfs.path"],
        format!("`store.hdfs.path` is {path:?}; it has to be absolute, and not the root"),
        None,
    );
    rules.hold(
        *deadline >= Duration::from_secs(1),
        &["store.hdfs.deadline"],
        "`store.hdfs.deadline` has to be 1s at least",
        None,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Hdfs {
        Hdfs { url: Some(url.into()), ..Hdfs::default() }
    }

    #[test]
    fn namenodes_of_a_url() {
        for (url, nodes) in [
            ("hdfs://nn1:8020", vec!["nn1:8020"]),
            ("hdfs://nn1:8020/", vec!["nn1:8020"]),
            ("hdfs://nn1:8020, nn2:8020", vec!["nn1:8020", "nn2:8020"]),
            ("hdfs://service", vec!["service"]),
        ] {
            assert_eq!(of(url).namenodes().collect::<Vec<_>>(), nodes);
            assert_eq!(of(url).url_problem(), None, "{url}");
        }
    }

    #[test]
    fn urls_that_are_refused() {
        for url in ["", "nn1:8020", "http://nn1:9870", "hdfs://", "hdfs://nn1:8020/doyen", "hdfs://nn1,nn2:8020"] {
            assert!(of(url).url_problem().is_some(), "{url}");
        }
        assert_eq!(Hdfs::default().url_problem(), None);
    }
}
