//! Uploads that are no sound archives are refused and leave nothing; one that is cut keeps what was there.

use crate::server::{Server, WHEEL, eventually};
use crate::wheel::wheel;

/// Files below the store of binaries, those of uploads under way as well.
fn stored(server: &Server) -> usize {
    fn count(directory: &std::path::Path) -> usize {
        // What is removed at this moment is not there.
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(&server.data_dir().join("blobs"))
}

#[track_caller]
fn refused(content: Vec<u8>, why: &str) {
    let server = Server::with(&["store.max-unpacked-bytes=50_000_000"]);
    let said = server.upload("x", content).says(400);
    assert!(said.starts_with("Binary is not of the right format") && said.contains(why), "{said}");
    assert_eq!(server.get("/binaries/x").says(404), "Can't find binary with name x");
    assert_eq!(stored(&server), 0);
    server.upload("good", wheel(&[("good.py", "")])).expect(201);
}

#[test]
fn a_wheel_that_is_not_a_zip() {
    refused(b"#!/bin/sh\necho this is no wheel\n".to_vec(), "");
    refused([b"PK\x03\x04".to_vec(), vec![7; 1000]].concat(), "");
    refused(Vec::new(), "");
}

#[test]
fn a_wheel_that_is_cut_off() {
    let mut content = wheel(&[("a.py", "a = 1"), ("b.py", "b = 2")]);
    content.truncate(content.len() - 40);
    refused(content, "");
}

#[test]
fn a_wheel_that_unpacks_to_more_than_the_limit() {
    refused(wheel(&[("zeros", vec![0; 60_000_000])]), "unpacks to more than the 50000000 bytes allowed");
}

#[test]
fn a_bomb_that_lies_about_its_size() {
    let mut content = wheel(&[("zeros", vec![0; 20_000_000])]);
    // The unpacked size in the central directory: one that deflate cannot reach.
    let central = content.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    content[central + 24..central + 28].copy_from_slice(&45_000_000u32.to_le_bytes());
    refused(content, "does not unpack to the 45000000 bytes that it declares");
}

#[test]
fn a_wheel_that_leads_out_of_its_directory() {
    refused(wheel(&[("../x", "escaped")]), "unsafe name \"../x\"");
    refused(wheel(&[("/etc/cron.d/x", "escaped")]), "it is absolute");
}

#[test]
fn an_upload_that_is_cut_in_the_middle_keeps_the_older_content() {
    let server = Server::with(&[]);
    server.upload("app", wheel(&[("old.py", "")])).expect(201);
    let (before, files) = (server.get("/binaries/app").expect(200), stored(&server));
    let newer = wheel(&[("new.py", vec![b'#'; 100_000])]);
    for name in ["app", "other"] {
        let head = format!("POST /binaries/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {WHEEL}\r\n");
        let sized = format!("{head}Content-Length: {}\r\n\r\n", newer.len() + 1000);
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", newer.len());
        for head in [sized, chunked] {
            let answer = server.cut(&[head.as_bytes(), &newer].concat());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }
    assert_eq!(server.get("/binaries/app").expect(200), before);
    assert_eq!(server.get("/binaries/other").status, 404);
    eventually("the removal of what was cut", || (stored(&server) == files).then_some(()));
}
