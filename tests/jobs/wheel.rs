//! Wheels, made for a test.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

/// Files by their path.
pub fn wheel<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(*path, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_ref()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The jobs of these tests: the modules `bad` and `spark`, and one that cannot be imported.
pub fn jobs() -> Vec<u8> {
    wheel(&[
        ("bad.py", include_str!("bad.py")),
        ("spark_jobs.py", include_str!("spark_jobs.py")),
        ("broken.py", "raise OSError('this module is broken')\n"),
        ("leaving.py", "import os\nos._exit(9)\n"),
    ])
}
