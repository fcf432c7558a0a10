//! Archives, good and hostile, made by hand where no tool would make them.

use std::io::Write;

use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const LIMITS: ArchiveLimits = ArchiveLimits { max_unpacked_bytes: 100_000_000, max_entries: 100 };

struct Archive(Vec<u8>);

impl Archive {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn with(names: &[&str]) -> Self {
        Self::of(&zipped(names, b"content"))
    }

    fn check(&self) -> Result<(), ArchiveError> {
        check(|| io::Cursor::new(self.0.as_slice()), LIMITS)
    }

    fn error(&self) -> String {
        self.check().unwrap_err().to_string()
    }
}

fn zipped(names: &[&str], content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    for name in names {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces every occurrence of some bytes by as many others.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut found = false;
    for at in 0..=bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
            found = true;
        }
    }
    assert!(found);
    bytes
}

/// The central header of the first entry.
fn central(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap()
}

fn set_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn ordinary_archive_passes() {
    assert!(
        Archive::with(&["__main__.py", "p/__init__.py", "p-1.0.dist-info/RECORD", "x..y", "a/...b"]).check().is_ok()
    );
    assert!(Archive::with(&[]).check().is_ok());
}

#[test]
fn archive_behind_a_shebang_passes() {
    let bytes = [b"#!/usr/bin/env python3\n".to_vec(), zipped(&["__main__.py"], b"1")].concat();
    assert!(Archive::of(&bytes).check().is_ok());
}

#[test]
fn other_files_and_cut_off_archives_are_no_zip() {
    let whole = zipped(&["a", "b"], b"content");
    for bytes in
        [&b""[..], b"PK", b"hello, this is no archive at all", &whole[..whole.len() - 30], &whole[whole.len() - 60..]]
    {
        assert!(Archive::of(bytes).error().starts_with("not a zip archive: "), "{bytes:?}");
    }
}

#[test]
fn unsafe_names_are_refused_with_the_reason() {
    let cases = [
        ("/etc/pass", "it is absolute"),
        ("../../abc", "it leads upwards"),
        ("aaa/../bb", "it leads upwards"),
        ("aaaaaa/..", "it leads upwards"),
        ("aa\\..\\bbb", "it contains a backslash"),
        ("C:/Window", "it begins with a drive letter"),
        ("aaaa\0.pyc", "it contains a zero byte"),
        ("./aaaaaaa", "it is not in its simplest form"),
        ("aaa//bbbb", "it is not in its simplest form"),
        ("aaaaaaa//", "it is not in its simplest form"),
    ];
    for (name, reason) in cases {
        let bytes = replaced(zipped(&["123456789"], b"content"), b"123456789", name.as_bytes());
        let error = Archive::of(&bytes).error();
        assert_eq!(error, format!("the archive has an entry with the unsafe name {name:?}: {reason}"));
    }
}

#[test]
fn duplicate_name_is_refused_but_not_a_repeated_directory() {
    let bytes = zipped(&["first", "other"], b"content");
    assert_eq!(
        Archive::of(&replaced(bytes, b"other", b"first")).error(),
        "the archive has more than one entry named \"first\""
    );
    let bytes = zipped(&["meta1", "meta2"], b"");
    let bytes = replaced(replaced(bytes, b"meta1", b"META/"), b"meta2", b"META/");
    assert!(Archive::of(&bytes).check().is_ok());
}

#[test]
fn symlink_is_refused_but_not_the_nonsensical_type_of_old_maven() {
    let mut bytes = zipped(&["a"], b"/etc/passwd");
    let attributes = central(&bytes) + 38;
    set_u32(&mut bytes, attributes, 0o120_777 << 16);
    assert_eq!(Archive::of(&bytes).error(), "the archive's entry \"a\" is a symbolic link");
    set_u32(&mut bytes, attributes, 0o140_755 << 16);
    assert!(Archive::of(&bytes).check().is_ok());
}

#[test]
fn too_many_entries_are_refused_before_they_are_read() {
    let names: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let archive = Archive::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(archive.error(), "the archive has 101 entries, more than the 100 allowed");
}

#[test]
fn declared_total_over_the_limit_is_refused() {
    let mut bytes = zipped(&["a"], &vec![7; 1_000_000]);
    let at = central(&bytes);
    set_u32(&mut bytes, at + 24, 100_000_001);
    assert_eq!(Archive::of(&bytes).error(), "the archive unpacks to more than the 100000000 bytes allowed");
}

#[test]
fn high_ratio_passes_when_it_is_true_and_is_refused_when_it_lies() {
    let mut bytes = zipped(&["zeros"], &vec![0; 20_000_000]);
    assert!(Archive::of(&bytes).check().is_ok());
    let at = central(&bytes);
    for lie in [19_999_999, 20_000_001, 5_000_000] {
        set_u32(&mut bytes, at + 24, lie);
        let expected = format!("the archive's entry \"zeros\" does not unpack to the {lie} bytes that it declares");
        assert_eq!(Archive::of(&bytes).error(), expected);
    }
}

#[test]
fn size_that_cannot_be_true_is_refused_without_unpacking() {
    let noise: Vec<u8> = (0..50_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut bytes = zipped(&["noise"], &noise);
    let at = central(&bytes);
    set_u32(&mut bytes, at + 24, 10);
    assert!(matches!(Archive::of(&bytes).check(), Err(ArchiveError::FalseSize { declared: 10, .. })));
}

#[test]
fn entries_over_the_same_bytes_are_refused() {
    let mut bytes = zipped(&["first", "other"], b"content");
    let at = central(&bytes);
    let second = at + 4 + central(&bytes[at + 4..]);
    set_u32(&mut bytes, second + 42, 0);
    assert_eq!(Archive::of(&bytes).error(), "the archive's entries \"first\" and \"other\" share the same bytes");
}
