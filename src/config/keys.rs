//! The names of all keys, asked of the structs themselves, and the one nearest to a name that is unknown.

use serde::de::value::Error;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, Visitor};

use super::binaries::{Hdfs, Shared};
use super::history::History;
use super::s3::S3;
use super::schema::{
    Callbacks, Config, Contexts, Driver, Events, Hocon, Http, Idempotency, Jobs, Log, Node, Retention, Security, Store,
    Tls, ZooKeeper,
};

/// What may stand at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table of more keys.
    Table,
    Value,
    /// A value of a driver's `settings`; a table there is a dotted key.
    Setting,
    Unknown,
}

pub(super) fn shape(path: &[String]) -> Shape {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        [] => Shape::Table,
        [section] if sections().contains(&section) => Shape::Table,
        ["drivers", _kind] => Shape::Table,
        ["drivers", _kind, "environment" | "settings"] => Shape::Table,
        ["drivers", _kind, key] if fields::<Driver>().contains(&key) => Shape::Value,
        ["drivers", _kind, "environment", _] => Shape::Value,
        ["drivers", _kind, "settings", ..] => Shape::Setting,
        ["store", table] if !within_store(table).is_empty() => Shape::Table,
        ["store", table, key] if within_store(table).contains(&key) => Shape::Value,
        ["security", "roles"] => Shape::Table,
        ["security", "roles", _role] => Shape::Value,
        [section, key] if section != "drivers" && keys(section).contains(&key) => Shape::Value,
        _ => Shape::Unknown,
    }
}

/// What to write instead of an unknown path, as a path that is known, or else the keys that could stand there.
pub(super) fn instead(path: &[String]) -> Result<Vec<String>, Vec<&'static str>> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let owned = |parts: &[&str]| Ok(parts.iter().map(|&part| part.to_owned()).collect());
    match path[..] {
        [section] => match (elsewhere(section), nearest(section, sections())) {
            (Some((home, key)), _) => owned(&[home, key]),
            (None, Some(name)) => owned(&[name]),
            (None, None) => Err(sections().to_vec()),
        },
        ["drivers", kind, key, ..] => match nearest(key, fields::<Driver>()) {
            Some(name) => owned(&["drivers", kind, name]),
            None => Err(fields::<Driver>().to_vec()),
        },
        ["store", table, key, ..] if !within_store(table).is_empty() => match nearest(key, within_store(table)) {
            Some(name) => owned(&["store", table, name]),
            None => Err(within_store(table).to_vec()),
        },
        [section, key, ..] if sections().contains(&section) => match (nearest(key, keys(section)), elsewhere(key)) {
            (Some(name), _) => owned(&[section, name]),
            (None, Some((home, key))) => owned(&[home, key]),
            (None, None) => Err(keys(section).to_vec()),
        },
        [section, key, ..] => match (nearest(section, sections()), elsewhere(key)) {
            (Some("drivers"), _) => owned(&["drivers", key]),
            (Some(name), _) => owned(&[name, nearest(key, keys(name)).unwrap_or(key)]),
            (None, Some((home, key))) => owned(&[home, key]),
            (None, None) => Err(sections().to_vec()),
        },
        [] => Err(sections().to_vec()),
    }
}

fn sections() -> &'static [&'static str] {
    fields::<Config>()
}

fn keys(section: &str) -> &'static [&'static str] {
    match section {
        "node" => fields::<Node>(),
        "http" => fields::<Http>(),
        "tls" => fields::<Tls>(),
        "jobs" => fields::<Jobs>(),
        "contexts" => fields::<Contexts>(),
        "store" => fields::<Store>(),
        "security" => fields::<Security>(),
        "callbacks" => fields::<Callbacks>(),
        "hocon" => fields::<Hocon>(),
        "log" => fields::<Log>(),
        "idempotency" => fields::<Idempotency>(),
        "retention" => fields::<Retention>(),
        "events" => fields::<Events>(),
        "zookeeper" => fields::<ZooKeeper>(),
        "history" => fields::<History>(),
        _ => &[],
    }
}

/// The keys of a table in `store`.
fn within_store(table: &str) -> &'static [&'static str] {
    match table {
        "shared" => fields::<Shared>(),
        "hdfs" => fields::<Hdfs>(),
        "s3" => fields::<S3>(),
        _ => &[],
    }
}

/// The section and key of a key that stands in the wrong section.
fn elsewhere(key: &str) -> Option<(&'static str, &'static str)> {
    let find = |section: &'static str| Some((section, keys(section).iter().copied().find(|name| *name == key)?));
    sections().iter().find_map(|section| find(section))
}

/// The one that was meant, probably.
pub fn nearest(word: &str, names: &[&'static str]) -> Option<&'static str> {
    /// Below, the likeness is chance.
    const LIKE: f64 = 0.78;
    let word = word.to_lowercase().replace('_', "-");
    let likeness = |name: &str| strsim::jaro_winkler(&word, name);
    let best = names.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= LIKE).then_some(best)
}

/// The names of a struct's fields as serde knows them.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always an error: the probe has no values. It has seen the names by then.
    let _ = <T as Deserialize>::deserialize(Probe(&mut names));
    names
}

/// Notes the names that a derived `Deserialize` asks for.
struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn every_section_but_the_drivers_has_keys() {
        for section in sections().iter().filter(|section| **section != "drivers") {
            assert!(!keys(section).is_empty(), "{section} lacks an arm in keys()");
        }
    }

    #[test]
    fn shapes_of_paths() {
        for (text, expected) in [
            ("http", Shape::Table),
            ("http.listen", Shape::Value),
            ("http.listen.port", Shape::Unknown),
            ("htp.listen", Shape::Unknown),
            ("drivers.mine", Shape::Table),
            ("drivers.mine.executable", Shape::Value),
            ("drivers.mine.settings", Shape::Table),
            ("drivers.mine.settings.spark.master", Shape::Setting),
            ("drivers.mine.environment.PATH", Shape::Value),
            ("drivers.mine.other", Shape::Unknown),
            ("store.hdfs", Shape::Table),
            ("store.hdfs.conf-dir", Shape::Value),
            ("store.hdfs.conf-dir.other", Shape::Unknown),
            ("store.binaries", Shape::Value),
            ("security.roles", Shape::Table),
            ("security.roles.mine", Shape::Value),
            ("security.roles.mine.other", Shape::Unknown),
        ] {
            assert_eq!(shape(&path(text)), expected, "{text}");
        }
    }

    #[test]
    fn nearest_known_key() {
        for (unknown, expected) in [
            ("http.lisen", "http.listen"),
            ("http.max_connections", "http.max-connections"),
            ("htp.lisen", "http.listen"),
            ("listen", "http.listen"),
            ("node.listen", "http.listen"),
            ("contxts", "contexts"),
            ("drivers.pyspark.exectable", "drivers.pyspark.executable"),
            ("driver.pyspark", "drivers.pyspark"),
            ("store.hdfs.conf_dir", "store.hdfs.conf-dir"),
        ] {
            assert_eq!(instead(&path(unknown)), Ok(path(expected)), "{unknown}");
        }
    }

    #[test]
    fn nothing_near_lists_what_there_is() {
        assert_eq!(instead(&path("node.zzz")), Err(vec!["name", "data-dir"]));
    }
}
