//! The data directory: its layout, the lock that keeps a second server out, and the version of its format.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::runtime::crash::{self, Side};

/// Raise it when an older server could no longer read the directory.
const FORMAT: u32 = 1;
const PRODUCT: &str = env!("CARGO_PKG_VERSION");

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
/// Names the metadata store.
const STORE_FILE: &str = "store";
const FORMER_ID_FILE: &str = "id";
const META_FILE: &str = "meta.redb";
/// Uploaded binaries, by hash.
const BLOBS: &str = "blobs";
/// A directory for each driver.
const DRIVERS: &str = "drivers";
/// Data files that users uploaded.
const DATA: &str = "data";
/// Only of this run.
const TMP: &str = "tmp";

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("{} is not a directory", .0.display())]
    NotDirectory(PathBuf),
    #[error("data directory {} is in use by {}", .directory.display(), match (.command, .pid) {
        (Some(command), Some(pid)) => format!("`{command}` (process {pid})"),
        (_, Some(pid)) => format!("process {pid}"),
        _ => "another process".into(),
    })]
    InUse {
        directory: PathBuf,
        pid: Option<u32>,
        /// It is no server, but this, which ends by itself.
        command: Option<String>,
    },
    #[error(
        "data directory {} has format {found}, written by version {written_by}; \
         this is version {PRODUCT}, which knows formats up to {FORMAT}: start the newer version",
        .directory.display()
    )]
    NewerFormat { directory: PathBuf, found: u32, written_by: String },
    #[error("{} is damaged or not ours: {reason}", .file.display())]
    BadFormat { file: PathBuf, reason: String },
    #[error("cannot {action} {}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Content of the `format` file.
#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
    /// Version of the server that created the directory.
    version: String,
}

/// An open data directory. Nobody else opens it while this lives.
#[derive(Debug)]
pub struct DataDir {
    /// Absolute.
    root: PathBuf,
    /// Holds the lock, which goes with the process however it ends. Programs it starts do not inherit it.
    _lock: File,
}

impl DataDir {
    /// Opens the directory, and creates it (readable by its owner only) when it is not there.
    ///
    /// # Errors
    /// When it is in use, of a newer format, not a directory, or not accessible.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        create(path)?;
        let root = path.canonicalize().map_err(failed("resolve", path))?;
        let lock = lock(&root)?;
        check_format(&root)?;
        crash::point("directory-parts", Side::Before);
        for name in [BLOBS, DRIVERS, DATA, TMP] {
            make_directory(&root.join(name))?;
        }
        sync(&root)?;
        crash::point("directory-parts", Side::After);
        Ok(Self { root, _lock: lock })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn meta(&self) -> PathBuf {
        self.root.join(META_FILE)
    }

    pub fn blobs(&self) -> PathBuf {
        self.root.join(BLOBS)
    }

    /// The metadata store that the drivers and the content here belong to, as it was named.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn store(&self) -> Result<Option<String>, DataDirError> {
        self.text(STORE_FILE)
    }

    /// Names that store.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_store(&self, name: &str) -> Result<(), DataDirError> {
        let (file, aside) = (self.root.join(STORE_FILE), self.tmp().join(STORE_FILE));
        crash::point("directory-store", Side::Before);
        let write = || {
            let mut out = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            writeln!(out, "{name}")?;
            out.sync_all()?;
            std::fs::rename(&aside, &file)
        };
        write().map_err(failed("write", &file))?;
        sync(&self.root)?;
        crash::point("directory-store", Side::After);
        Ok(())
    }

    /// Earlier versions had binaries elsewhere name this, and not the metadata store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn former_id(&self) -> Result<Option<String>, DataDirError> {
        self.text(FORMER_ID_FILE)
    }

    fn text(&self, name: &str) -> Result<Option<String>, DataDirError> {
        let file = self.root.join(name);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &file)(error)),
        }
    }

    pub fn drivers(&self) -> PathBuf {
        self.root.join(DRIVERS)
    }

    pub fn data(&self) -> PathBuf {
        self.root.join(DATA)
    }

    pub fn tmp(&self) -> PathBuf {
        self.root.join(TMP)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { action, path, source }
}

fn create(path: &Path) -> Result<(), DataDirError> {
    match path.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(DataDirError::NotDirectory(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(DataDirError::NotDirectory(path.parent().unwrap_or(path).to_owned()));
        }
        Err(error) => return Err(failed("look at", path)(error)),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    crash::point("directory-create", Side::Before);
    std::fs::create_dir_all(parent).map_err(failed("create", parent))?;
    make_directory(path)?;
    sync(parent)?;
    crash::point("directory-create", Side::After);
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), DataDirError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(DataDirError::NotDirectory(path.to_owned())),
        made => made.map_err(failed("create", path)),
    }
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK_FILE);
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = options.map_err(failed("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid: Option<u32> = pid.trim().parse().ok();
            return Err(DataDirError::InUse { directory: root.to_owned(), pid, command: pid.and_then(store_command) });
        }
        Err(error) => return Err(failed("lock", &path)(error.into())),
    }
    // The number is for the other's error message only.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed("write", &path))?;
    Ok(file)
}

/// `doyen store …`, if that is what the process does.
fn store_command(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    store_command_of(&String::from_utf8_lossy(&line))
}

/// Words end with a NUL. Options for all commands may stand before.
fn store_command_of(line: &str) -> Option<String> {
    let mut words = line.split('\0').skip(1);
    words.find(|word| !word.starts_with('-')).filter(|word| *word == "store")?;
    let which = words.find(|word| !word.is_empty() && !word.starts_with('-'))?;
    Some(format!("doyen store {which}"))
}

fn check_format(root: &Path) -> Result<(), DataDirError> {
    let file = root.join(FORMAT_FILE);
    let bad = |reason: String| DataDirError::BadFormat { file: file.clone(), reason };
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The format is the first that is written, so data without it is not ours.
            if let Some(name) = [META_FILE, BLOBS].iter().find(|name| root.join(name).exists()) {
                return Err(bad(format!("it is missing, although there is {name}")));
            }
            return write_format(root);
        }
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let found: Format = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    if found.format > FORMAT {
        let directory = root.to_owned();
        return Err(DataDirError::NewerFormat { directory, found: found.format, written_by: found.version });
    }
    Ok(())
}

/// Written aside, flushed and renamed, so that it is there whole or not at all.
fn write_format(root: &Path) -> Result<(), DataDirError> {
    let file = root.join(FORMAT_FILE);
    let aside = root.join("format.new");
    let format = Format { format: FORMAT, version: PRODUCT.into() };
    let text = serde_json::to_vec(&format).expect("plain fields");
    crash::point("directory-format", Side::Before);
    let write = || {
        let mut out = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        out.write_all(&text)?;
        out.sync_all()?;
        crash::point("directory-format-rename", Side::Before);
        std::fs::rename(&aside, &file)?;
        crash::point("directory-format-rename", Side::After);
        Ok(())
    };
    write().map_err(failed("write", &file))?;
    sync(root)?;
    crash::point("directory-format", Side::After);
    Ok(())
}

fn sync(directory: &Path) -> Result<(), DataDirError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(failed("flush", directory))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        (outer, path)
    }

    #[test]
    fn who_has_the_directory_open_is_named_unless_it_is_a_server() {
        for (line, command) in [
            ("doyen\0store\0import\0file\0", Some("doyen store import")),
            ("/usr/bin/doyen\0--json\0store\0check\0", Some("doyen store check")),
            ("doyen\0server\0-c\0store\0", None),
            ("doyen\0store\0", None),
            ("", None),
        ] {
            assert_eq!(store_command_of(line).as_deref(), command, "{line:?}");
        }
    }

    #[test]
    fn new_directory_is_made_private_with_its_parts_and_opens_again() {
        let (_outer, path) = fresh();
        let first = DataDir::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!([first.blobs(), first.drivers(), first.data(), first.tmp()].iter().all(|part| part.is_dir()));
        let format: Format = serde_json::from_slice(&std::fs::read(path.join("format")).unwrap()).unwrap();
        assert_eq!((format.format, format.version.as_str()), (FORMAT, PRODUCT));
        assert_eq!(first.store().unwrap(), None);
        first.set_store("one").unwrap();
        first.set_store("two").unwrap();
        drop(first);
        assert_eq!(DataDir::open(&path).unwrap().store().unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn second_opening_is_refused_and_names_the_process() {
        let (_outer, path) = fresh();
        let _first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        let path = path.canonicalize().unwrap();
        let expected = format!("data directory {} is in use by process {}", path.display(), std::process::id());
        assert_eq!(error, expected);
    }

    #[test]
    fn newer_format_is_refused_with_both_versions_named() {
        let (_outer, path) = fresh();
        drop(DataDir::open(&path).unwrap());
        std::fs::write(path.join("format"), r#"{"format":7,"version":"9.8.7"}"#).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("format 7") && error.contains("9.8.7") && error.contains(PRODUCT), "{error}");
    }

    #[test]
    fn damaged_format_and_data_without_format_are_refused() {
        let (_outer, path) = fresh();
        drop(DataDir::open(&path).unwrap());
        std::fs::write(path.join("format"), "{").unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::BadFormat { .. })));
        std::fs::remove_file(path.join("format")).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("it is missing, although there is blobs"), "{error}");
    }

    #[test]
    fn file_in_place_of_the_directory_or_above_it_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let file = outer.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataDir::open(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{} is not a directory", file.display()));
        }
    }

    #[test]
    fn directory_that_cannot_be_written_is_named_with_what_was_tried() {
        // A name too long fails for every user; permissions do not stop root.
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("n".repeat(300));
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().starts_with("cannot look at "), "{error}");
        let DataDirError::Io { source, .. } = error else { panic!("another error") };
        assert_eq!(source.kind(), ErrorKind::InvalidFilename);
    }
}
