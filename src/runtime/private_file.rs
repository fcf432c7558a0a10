//! Files that hold what others must not read: checked when they are read, replaced whole when they are written.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Read by all, or written by others than the owner.
const TOO_OPEN: u32 = 0o027;
/// For the owner alone.
const PRIVATE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is open to others (mode {mode:03o}); `chmod o-rwx,g-w` it")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("{path} is longer than {limit_bytes} bytes")]
    TooLong { path: PathBuf, limit_bytes: u64 },
}

/// Changes when the file does, whether it was written in place or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            changed_s: metadata.ctime(),
            changed_ns: metadata.ctime_nsec(),
        }
    }
}

/// # Errors
/// When the file is not there, or cannot be looked at.
pub fn stamp(path: &Path) -> Result<Stamp, PrivateFileError> {
    std::fs::metadata(path).map(|found| Stamp::of(&found)).map_err(|source| io_error(path, source))
}

/// The text of a file that others may not read, and the group may not write.
///
/// # Errors
/// When it cannot be read, is too open or too long, or is no UTF-8.
pub fn read(path: &Path, limit_bytes: u64) -> Result<(String, Stamp), PrivateFileError> {
    let failed = |source| io_error(path, source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(PrivateFileError::TooOpen { path: path.into(), mode });
    }
    let mut text = String::new();
    file.take(limit_bytes + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > limit_bytes {
        return Err(PrivateFileError::TooLong { path: path.into(), limit_bytes });
    }
    Ok((text, Stamp::of(&metadata)))
}

/// Warns of a secret that everybody on the machine may read: for files that are mounted so, and cannot be refused.
pub fn warn_if_open(path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o777);
    if mode & 0o004 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:03o}"), "everybody on this machine may read a secret; `chmod o-rwx` it");
    }
}

/// Excludes others that would change files of the same directory, until it is dropped.
pub struct DirectoryLock {
    _directory: File,
}

/// # Errors
/// When the directory cannot be opened.
pub fn lock_directory_of(path: &Path) -> Result<DirectoryLock, PrivateFileError> {
    let directory = directory_of(path);
    let failed = |source| io_error(directory, source);
    let file = File::open(directory).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(DirectoryLock { _directory: file })
}

/// Writes the whole file anew: readers see the old or the new, also after a crash. Owner, group and mode stay; a new file
/// is for its owner alone.
///
/// # Errors
/// When nothing was changed.
pub fn replace(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    // A link stays a link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let failed = |source| io_error(path, source);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", super::random::id()));
    let new = PathBuf::from(name);
    let written = write_new(&new, path, text).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // It may not be there.
        let _ = std::fs::remove_file(&new);
    }
    written.map_err(failed)?;
    File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn write_new(new: &Path, old: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(new)?;
    if let Ok(before) = std::fs::metadata(old) {
        let now = file.metadata()?;
        if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(before.mode() & 0o777 & !TOO_OPEN))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(path: &Path, source: io::Error) -> PrivateFileError {
    PrivateFileError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        replace(&path, "one").unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let (before, after) = (stamp(&path).unwrap(), replace(&path, "two").and_then(|()| stamp(&path)).unwrap());
        assert_ne!(before, after);
        assert_eq!(mode(&path), 0o640);
        assert_eq!(read(&path, 3).unwrap().0, "two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_may_read_or_the_group_may_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        std::fs::write(&path, "x").unwrap();
        for (open, fine) in [(0o644, false), (0o660, false), (0o601, false), (0o640, true), (0o400, true)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
            assert_eq!(read(&path, 10).is_ok(), fine, "{open:o}");
        }
    }

    #[test]
    fn what_is_too_long_or_missing_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        assert!(matches!(read(&path, 1), Err(PrivateFileError::Io { .. })));
        replace(&path, "long").unwrap();
        assert!(matches!(read(&path, 3), Err(PrivateFileError::TooLong { .. })));
    }
}
