//! GET /binaries.

use serde_json::json;

use crate::fixture::{EGG, JAR, Server, WHEEL, wheel};

#[tokio::test]
async fn no_binaries_are_an_empty_object() {
    let server = Server::start();
    assert_eq!(server.get("/binaries").await.json(200), json!({}));
}

#[tokio::test]
async fn each_binary_is_listed_by_name_with_type_and_time() {
    let server = Server::start();
    for (name, kind) in [("a", JAR), ("b", EGG), ("c", WHEEL)] {
        server.upload(name, kind, wheel(&[])).await.refuses(400, "Binary is not of the right format");
        server.upload(name, kind, wheel(&[("f", "")])).await.is_success(201);
    }
    let mut list = server.get("/binaries").await.json(200);
    assert_eq!(server.get("/jars").await.json(200), list);
    for (name, kind) in [("a", "Jar"), ("b", "Egg"), ("c", "Wheel")] {
        let binary = list.as_object_mut().unwrap().remove(name).unwrap();
        assert_eq!(binary, json!({"binary-type": kind, "upload-time": binary["upload-time"]}));
        assert!(is_time(binary["upload-time"].as_str().unwrap()), "{binary}");
    }
    assert_eq!(list, json!({}));
}

fn is_time(text: &str) -> bool {
    text.len() == "2016-06-19T16:27:12.196Z".len() && text.parse::<jiff::Timestamp>().is_ok()
}
