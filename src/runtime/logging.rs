//! Logs: to stderr as text for people or as JSON, and as JSON to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// Libraries that tell of each connection: at most `warn`, unless the level names them.
const NOISY: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "object_store",
    "ractor",
    "reqwest",
    "rustls",
    "tokio_tungstenite",
    "tungstenite",
];

/// Warns of each file that is dropped before the library has closed it, and of nothing else. That happens to each small upload whose
/// closing was granted while it was asked for anew (docs/adr/0021), and to broken-off uploads, which are told by whoever made them.
const UNCLOSED: &str = "hdfs_native::file";

/// Libraries that tell of each try to reach a server, also while it is away for hours. What fails of them is told by us, at a pace, with the
/// setting that it is about. At most `error`, unless the level names them.
const TRYING: [&str; 3] = ["hdfs_native::hdfs::connection", "hdfs_native::hdfs::proxy", "zookeeper_client"];

/// Modes of new files, less what the umask takes.
const WORLD: u32 = 0o666;
const PRIVATE: u32 = 0o600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("`{0}` is no log level")]
    Level(String),
    #[error("cannot open the log file {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("logging was set up already")]
    Twice,
}

/// Name of a node's log file.
pub fn file_name(node: &str) -> String {
    format!("doyen.{node}.log")
}

/// What is told of who did what, whatever the level.
const AUDIT: &str = "audit";

/// Sets up logging for the whole process. `level` is like `info` or `info,doyen::jobs=debug`. With `file`, lines of
/// JSON are also appended there, and with `audit` those of that target; directories are made if need be.
///
/// # Errors
/// Nothing was set up: the level cannot be read, the file cannot be opened, or logging runs already.
pub fn init(level: &str, format: Format, file: Option<&Path>, audit: Option<&Path>) -> Result<(), LogError> {
    let targets = targets(level)?;
    let file = file.map(|path| open(path, WORLD)).transpose()?.map(|file| json(Arc::new(file)));
    let audit = audit.map(|path| open(path, PRIVATE)).transpose()?.map(|file| json(Arc::new(file)));
    let logs = [Some(console(format)), file].into_iter().flatten().map(|log| log.with_filter(targets.clone()).boxed());
    let audit = audit.map(|log| log.with_filter(Targets::new().with_target(AUDIT, LevelFilter::INFO)).boxed());
    let layers: Vec<Boxed> = logs.chain(audit).collect();
    tracing_subscriber::registry().with(layers).try_init().map_err(|_| LogError::Twice)
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

fn console(format: Format) -> Boxed {
    let terminal = io::stderr().is_terminal();
    let text = match format {
        Format::Auto => terminal,
        Format::Text => true,
        Format::Json => false,
    };
    match (text, terminal) {
        (false, _) => json(io::stderr),
        // The library's own default looks at NO_COLOR.
        (true, true) => fmt::layer().with_writer(io::stderr).boxed(),
        (true, false) => fmt::layer().with_writer(io::stderr).with_ansi(false).boxed(),
    }
}

fn json<W>(writer: W) -> Boxed
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed()
}

/// Each event is one write to a file that is opened for appending, so lines stay whole.
fn open(path: &Path, mode: u32) -> Result<File, LogError> {
    let open = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        OpenOptions::new().create(true).append(true).mode(mode).open(path)
    };
    open().map_err(|source| LogError::File { path: path.to_owned(), source })
}

fn targets(level: &str) -> Result<Targets, LogError> {
    let asked: Targets = level.parse().map_err(|_| LogError::Level(level.to_owned()))?;
    let general = asked.default_level().unwrap_or(LevelFilter::OFF);
    let quiet = NOISY.map(|name| (name, general.min(LevelFilter::WARN)));
    let silent = [UNCLOSED].into_iter().chain(TRYING).map(|name| (name, general.min(LevelFilter::ERROR)));
    Ok(Targets::new().with_default(general).with_targets(quiet).with_targets(silent).with_targets(asked.iter()))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn noisy_libraries_are_at_warn_unless_named() {
        let all = targets("debug").unwrap();
        assert!(all.would_enable("doyen::jobs", &Level::DEBUG));
        assert!(all.would_enable("hyper::client", &Level::WARN));
        assert!(!all.would_enable("hyper::client", &Level::INFO));
        let named = targets("info,hyper=debug").unwrap();
        assert!(named.would_enable("hyper::client", &Level::DEBUG));
    }

    #[test]
    fn files_that_hdfs_native_drops_unclosed_are_not_told_unless_asked_for() {
        let all = targets("info").unwrap();
        assert!(!all.would_enable("hdfs_native::file", &Level::WARN));
        assert!(all.would_enable("hdfs_native::hdfs::block_reader", &Level::WARN));
        assert!(targets("info,hdfs_native::file=warn").unwrap().would_enable("hdfs_native::file", &Level::WARN));
        assert!(!targets("off").unwrap().would_enable("hdfs_native::file", &Level::ERROR));
    }

    #[test]
    fn what_libraries_tell_of_each_try_is_not_told_unless_asked_for() {
        let all = targets("info").unwrap();
        for library in ["zookeeper_client::session", "hdfs_native::hdfs::proxy", "hdfs_native::hdfs::connection"] {
            assert!(!all.would_enable(library, &Level::WARN) && all.would_enable(library, &Level::ERROR), "{library}");
        }
        assert!(targets("info,zookeeper_client=info").unwrap().would_enable("zookeeper_client::session", &Level::INFO));
    }

    #[test]
    fn quieter_than_warn_holds_for_all() {
        assert!(!targets("error").unwrap().would_enable("hyper::client", &Level::WARN));
        assert!(!targets("off").unwrap().would_enable("doyen", &Level::ERROR));
    }

    #[test]
    fn the_file_gets_a_line_of_json_an_event_and_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs").join(file_name("n1"));
        for round in 1..=2 {
            let layers = vec![json(Arc::new(open(&path, WORLD).unwrap()))].with_filter(targets("info").unwrap());
            let subscriber = tracing_subscriber::registry().with(layers);
            tracing::subscriber::with_default(subscriber, || tracing::info!(job = "j1", round, "done"));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["message"], "done");
        assert_eq!(lines[1]["job"], "j1");
        assert_eq!(lines[1]["round"], 2);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        assert!(matches!(open(&blocked.join("x.log"), WORLD), Err(LogError::File { .. })));
    }
}
