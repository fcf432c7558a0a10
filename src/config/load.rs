//! Loading: layers become checked settings, settings become one `Config`. Pure but for reading the file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Errors, Origin, Problem};
use super::keys::{self, Shape};
use super::schema::Config;
use super::validate::invalid;

/// The file that is read when none is named, if it is there.
pub const FILE_NAME: &str = "doyen.toml";

/// What the names of our environment variables begin with. `DOYEN__HTTP__MAX_REQUESTS` is `http.max-requests`.
pub const ENVIRONMENT_PREFIX: &str = "DOYEN__";

/// Where values come from, weakest first. The default is none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Must be there and readable.
    pub file: Option<PathBuf>,
    /// Without `file`: the directory in which `doyen.toml` is read, if it is there.
    pub directory: Option<PathBuf>,
    /// Names and values; other names than ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Texts like `section.key=value`.
    pub set: Vec<String>,
    /// `--http`
    pub http: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<String>,
    /// `--node`
    pub node: Option<String>,
}

/// The whole, valid configuration.
///
/// # Errors
/// Everything that is wrong in any layer, each with its place.
pub fn load(sources: &Sources) -> Result<Config, Errors> {
    let mut layers = Layers::default();
    layers.file(sources);
    for (name, value) in &sources.environment {
        if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
            layers.text(environment_path(key), value, &Origin::Environment(name.clone()));
        }
    }
    for text in &sources.set {
        layers.set(text);
    }
    let flags = [("--http", "http.listen"), ("--data-dir", "node.data-dir"), ("--node", "node.name")];
    for ((flag, key), value) in flags.into_iter().zip([&sources.http, &sources.data_dir, &sources.node]) {
        if let Some(value) = value {
            let path = key.split('.').map(str::to_owned).collect();
            layers.string(path, value, &Origin::Flag(flag));
        }
    }
    layers.finish()
}

/// A value that fits its key.
struct Setting {
    path: Vec<String>,
    value: toml::Value,
    origin: Origin,
}

#[derive(Default)]
struct Layers {
    settings: Vec<Setting>,
    /// Keys that were refused: what depends on them cannot be judged.
    refused: Vec<String>,
    problems: Vec<Problem>,
}

impl Layers {
    fn file(&mut self, sources: &Sources) {
        let (path, optional) = match (&sources.file, &sources.directory) {
            (Some(file), _) => (file.clone(), false),
            (None, Some(directory)) => (directory.join(FILE_NAME), true),
            (None, None) => return,
        };
        let whole = Origin::File { path: path.clone(), line: None };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if optional && error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.problems.push(unreadable(&whole, &error)),
        };
        let origin = |span: Range<usize>| Origin::File { path: path.clone(), line: Some(line(&text, span.start)) };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let origin = error.span().map_or(whole.clone(), &origin);
            self.problems.push(Problem::new(&origin, format!("not TOML: {}", one_line(error.message()))));
        }
        // After an error the parser guesses, so what it made of the rest is not to be judged.
        if errors.is_empty() {
            let span = table.span();
            self.walk(&mut Vec::new(), Spanned::new(span.clone(), DeValue::Table(table.into_inner())), span, &origin);
        }
        // Tables come in the order of their names.
        self.problems.sort_by_key(|problem| match problem.origin {
            Some(Origin::File { line, .. }) => line,
            _ => None,
        });
    }

    fn set(&mut self, text: &str) {
        let origin = Origin::Set(text.to_owned());
        let usage = "write --set section.key=value, like --set http.listen=127.0.0.1:8090";
        let split = text.split_once('=').and_then(|(key, value)| Some((key_path(key)?, value)));
        match split {
            Some((path, value)) => self.text(path, value.trim(), &origin),
            None => self.problems.push(Problem::new(&origin, "not a key and a value").hint(usage)),
        }
    }

    /// A TOML value; what is none, or fits only so, is taken as a string.
    fn text(&mut self, path: Vec<String>, text: &str, origin: &Origin) {
        let Ok(value) = DeValue::parse(text) else {
            return self.string(path, text, origin);
        };
        let as_value = self.attempt(&path, value, origin);
        if as_value.problems.is_empty() {
            return self.take(as_value);
        }
        let as_string = self.attempt(&path, string(text), origin);
        self.take(if as_string.problems.is_empty() { as_string } else { as_value });
    }

    fn string(&mut self, path: Vec<String>, text: &str, origin: &Origin) {
        let taken = self.attempt(&path, string(text), origin);
        self.take(taken);
    }

    fn attempt(&self, path: &[String], value: Spanned<DeValue<'_>>, origin: &Origin) -> Self {
        let mut attempt = Self::default();
        attempt.walk(&mut path.to_vec(), value, 0..0, &|_| origin.clone());
        attempt
    }

    fn take(&mut self, other: Self) {
        self.settings.extend(other.settings);
        self.refused.extend(other.refused);
        self.problems.extend(other.problems);
    }

    /// Descends to the values. `key` is where the name of this one stands.
    fn walk(
        &mut self,
        path: &mut Vec<String>,
        value: Spanned<DeValue<'_>>,
        key: Range<usize>,
        origin: &dyn Fn(Range<usize>) -> Origin,
    ) {
        let shape = keys::shape(path);
        let span = value.span();
        match (shape, value.into_inner()) {
            (Shape::Unknown, _) => self.problems.push(unknown(path, &origin(key))),
            (Shape::Table | Shape::Setting, DeValue::Table(table)) => {
                for (name, child) in table {
                    path.push(name.get_ref().to_string());
                    self.walk(path, child, name.span(), origin);
                    path.pop();
                }
            }
            (Shape::Table, _) => {
                let message = format!("`{}` is a section of keys, not a value", path.join("."));
                self.problems.push(Problem::new(&origin(key), message));
            }
            (Shape::Value | Shape::Setting, value) => self.leaf(path, Spanned::new(span, value), origin(key)),
        }
    }

    fn leaf(&mut self, path: &[String], value: Spanned<DeValue<'_>>, origin: Origin) {
        let mut path = path.to_vec();
        if path.len() > 4 {
            // A setting's key is flat, however it was written.
            let dotted = path.split_off(3).join(".");
            path.push(dotted);
        }
        let checked = toml::Value::deserialize(toml::de::ValueDeserializer::from(value)).and_then(|value| {
            let mut alone = toml::Table::new();
            insert(&mut alone, &path, value.clone());
            Config::deserialize(alone).map(|_| value)
        });
        match checked {
            Ok(value) => self.settings.push(Setting { path, value, origin }),
            Err(error) => {
                let name = path.join(".");
                let problem = Problem::new(&origin, format!("`{name}`: {}", one_line(error.message())));
                self.problems.push(match name.as_str() {
                    "http.listen" => problem.hint("write an IP address and a port, like 127.0.0.1:8090 or [::1]:8090"),
                    _ => problem,
                });
                self.refused.push(name);
            }
        }
    }

    fn finish(self) -> Result<Config, Errors> {
        let Self { settings, refused, mut problems } = self;
        let mut table = toml::Table::try_from(Config::default()).expect("the defaults can be written as TOML");
        let mut origins = BTreeMap::new();
        for setting in settings {
            origins.insert(setting.path.join("."), setting.origin);
            insert(&mut table, &setting.path, setting.value);
        }
        let config = Config::deserialize(table).expect("each setting was tried against the schema");
        for found in invalid(&config) {
            if found.keys.iter().any(|key| refused.contains(key)) {
                continue;
            }
            let origin = found.keys.iter().find_map(|key| origins.get(key)).cloned();
            problems.push(Problem { origin, message: found.message, hint: found.hint });
        }
        if problems.is_empty() { Ok(config) } else { Err(Errors(problems)) }
    }
}

fn unreadable(origin: &Origin, error: &std::io::Error) -> Problem {
    let problem = Problem::new(origin, format!("cannot read the configuration file: {error}"));
    match error.kind() {
        ErrorKind::NotFound => problem.hint("`doyen config default` prints one to begin with"),
        ErrorKind::InvalidData => problem.hint("it has to be text in UTF-8"),
        _ => problem,
    }
}

fn unknown(path: &[String], origin: &Origin) -> Problem {
    let name = |path: &[String]| match origin {
        Origin::Environment(_) => environment_name(path),
        _ if path.len() == 1 => format!("[{}]", path[0]),
        _ => path.join("."),
    };
    let what = if path.len() == 1 { "section" } else { "key" };
    let problem = Problem::new(origin, format!("unknown {what} `{}`", path.join(".")));
    match keys::instead(path) {
        Ok(known) => problem.hint(format!("did you mean `{}`?", name(&known))),
        Err(there) => problem.hint(format!("there is {}", there.join(", "))),
    }
}

/// `HTTP__MAX_REQUESTS` is `http.max-requests`. Names under a driver's `environment` stay as they are.
fn environment_path(key: &str) -> Vec<String> {
    let plain = |part: &str| part.to_lowercase().replace('_', "-");
    let parts: Vec<&str> = key.split("__").collect();
    match &parts[..] {
        [drivers, kind, environment, name @ ..]
            if plain(drivers) == "drivers" && plain(environment) == "environment" =>
        {
            let mut path = vec![plain(drivers), plain(kind), plain(environment)];
            if !name.is_empty() {
                path.push(name.join("__"));
            }
            path
        }
        parts => parts.iter().map(|part| plain(part)).collect(),
    }
}

fn environment_name(path: &[String]) -> String {
    let parts: Vec<String> = path.iter().map(|part| part.to_uppercase().replace('-', "_")).collect();
    format!("{ENVIRONMENT_PREFIX}{}", parts.join("__"))
}

/// The parts of a TOML key, like `drivers.pyspark.settings."spark.master"`.
fn key_path(key: &str) -> Option<Vec<String>> {
    if key.contains('\n') {
        return None;
    }
    let text = format!("{key} = 0");
    let mut table: toml::Table = text.parse().ok()?;
    let mut path = Vec::new();
    loop {
        let (name, value) = table.into_iter().next()?;
        path.push(name);
        match value {
            toml::Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

fn string(text: &str) -> Spanned<DeValue<'_>> {
    Spanned::new(0..0, DeValue::String(text.into()))
}

fn insert(table: &mut toml::Table, path: &[String], value: toml::Value) {
    let (last, parents) = path.split_last().expect("a path has a name");
    let mut table = table;
    for name in parents {
        let child = table.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = child.as_table_mut().expect("shape() lets only tables stand above a value");
    }
    table.insert(last.clone(), value);
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// A library's message in words for people.
fn one_line(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(", ");
    ["usize", "u64", "u32"].iter().fold(message, |message, number| {
        message.replace(&format!("expected {number}"), "expected a whole number from 0 on")
    })
}
