//! The NameNodes of a name service, as Hadoop's configuration has them: a new client begins with another than the last one.

use std::path::{Path, PathBuf};

use crate::config;

/// A name service, and what its NameNodes are called in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    name: String,
    ids: Vec<String>,
}

impl Service {
    /// None when the settings name NameNodes themselves, or the configuration tells no more than one. That it cannot be
    /// read, the client says itself.
    pub(super) fn of(settings: &config::Hdfs) -> Option<Self> {
        let directory = settings.conf_dir.clone().or_else(default_directory)?;
        let properties = properties(&directory);
        let get = |name: &str| properties.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.trim());
        let url = settings.url.as_deref().or_else(|| get("fs.defaultFS"))?;
        let name = url.strip_prefix("hdfs://")?.trim_end_matches('/');
        let ids = get(&key(name))?.split(',').map(|id| id.trim().to_owned()).collect::<Vec<_>>();
        (ids.len() > 1).then(|| Self { name: name.to_owned(), ids })
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The property that has its NameNodes in their order, but from the n-th on.
    pub(super) fn beginning_with(&self, n: usize) -> (String, String) {
        let mut ids = self.ids.clone();
        ids.rotate_left(n % self.ids.len());
        (key(&self.name), ids.join(","))
    }
}

fn key(service: &str) -> String {
    format!("dfs.ha.namenodes.{service}")
}

/// As the client finds it.
fn default_directory() -> Option<PathBuf> {
    let from_home = || std::env::var_os("HADOOP_HOME").map(|home| Path::new(&home).join("etc/hadoop"));
    std::env::var_os("HADOOP_CONF_DIR").map(PathBuf::from).or_else(from_home)
}

/// The later ones hold.
fn properties(directory: &Path) -> Vec<(String, String)> {
    let files = ["core-site.xml", "hdfs-site.xml"].map(|file| std::fs::read_to_string(directory.join(file)));
    files.iter().flatten().flat_map(|text| of_file(text)).collect()
}

fn of_file(text: &str) -> Vec<(String, String)> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let Ok(document) = roxmltree::Document::parse_with_options(text, options) else { return Vec::new() };
    let property = |node: roxmltree::Node<'_, '_>| {
        let text = |name| node.children().find(|child| child.has_tag_name(name))?.text().map(str::to_owned);
        Some((text("name")?, text("value")?))
    };
    document.root_element().children().filter(|node| node.has_tag_name("property")).filter_map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: Option<&str>) -> (tempfile::TempDir, config::Hdfs) {
        let directory = tempfile::tempdir().expect("a directory");
        let core = "<?xml version=\"1.0\"?><configuration><property><name>fs.defaultFS</name><value>hdfs://pair</value>\
                    </property></configuration>";
        let site = "<configuration><!-- two --><property><name>dfs.ha.namenodes.pair</name> <value>a, b</value></property>\
                    <property><name>dfs.ha.namenodes.one</name><value>c</value></property></configuration>";
        std::fs::write(directory.path().join("core-site.xml"), core).expect("written");
        std::fs::write(directory.path().join("hdfs-site.xml"), site).expect("written");
        let conf_dir = Some(directory.path().to_owned());
        let settings = config::Hdfs { url: url.map(str::to_owned), conf_dir, ..config::Hdfs::default() };
        (directory, settings)
    }

    #[test]
    fn each_client_begins_with_the_next_namenode_of_a_service() {
        for url in [None, Some("hdfs://pair"), Some("hdfs://pair/")] {
            let (_directory, settings) = settings(url);
            let service = Service::of(&settings).expect("two NameNodes");
            let orders: Vec<_> = (0..3).map(|n| service.beginning_with(n)).collect();
            assert!(orders.iter().all(|(key, _)| key == "dfs.ha.namenodes.pair"));
            assert_eq!(orders.iter().map(|(_, ids)| ids.as_str()).collect::<Vec<_>>(), ["a,b", "b,a", "a,b"]);
        }
    }

    #[test]
    fn single_namenodes_and_unknown_services_are_left_as_they_are() {
        for url in ["hdfs://one", "hdfs://host:8020", "hdfs://unknown", "hdfs://a:1,b:1"] {
            let (_directory, settings) = settings(Some(url));
            assert_eq!(Service::of(&settings), None, "{url}");
        }
    }

    #[test]
    fn files_that_are_no_xml_tell_nothing() {
        assert_eq!(of_file("<configuration"), []);
    }
}
