//! The Python driver that the binary carries, unpacked beside its driver.

use std::fs;
use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/drivers/python");
/// Tests and tools that lie beside them stay behind.
const PACKAGES: [&str; 2] = ["sparkjobserver", "doyen_driver"];

pub fn unpack(target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    PACKAGES.iter().filter_map(|package| PYTHON.get_dir(package)).try_for_each(|package| copy(package, target))
}

fn copy(directory: &Dir<'_>, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target.join(directory.path()))?;
    for file in directory.files().filter(|file| file.path().extension().is_some_and(|extension| extension == "py")) {
        fs::write(target.join(file.path()), file.contents())?;
    }
    directory.dirs().filter(|below| !below.path().ends_with("__pycache__")).try_for_each(|below| copy(below, target))
}
