//! What is configured wrongly is told in words that help.

use doyen::adapters::blobs::Owned;
use std::net::TcpListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::servers::s3::{KEY_ID, SECRET, credentials};

async fn wrong(settings: &config::S3, words: &[&str]) {
    let claimed = async { open(settings).await?.claim("somebody").await };
    match claimed.await.err() {
        Some(OpenBlobsError::Wrong(error)) => says(&error, words),
        other => panic!("{other:?}"),
    }
}

async fn away(settings: &config::S3, words: &[&str]) {
    match open(settings).await.err() {
        Some(OpenBlobsError::Away(error)) => says(&error, words),
        other => panic!("{other:?}"),
    }
}

/// Says the same to everybody.
async fn parrot(says: &'static str) -> config::S3 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = client.read(&mut [0; 4096]).await;
                let _ = client.write_all(says.as_bytes()).await;
            });
        }
    });
    impatient(&config::S3 { endpoint, ..settings() })
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_listens_the_endpoint_is_named_and_it_may_come() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = config::S3 { endpoint: Some(format!("http://{free}")), ..settings() };
    away(&impatient(&nowhere), &["store.s3.endpoint", &free.to_string(), "Connection refused"]).await;
    let unknown = config::S3 { endpoint: Some("http://no.such.host.invalid:9000".into()), ..settings() };
    away(&impatient(&unknown), &["store.s3.endpoint", "no.such.host.invalid"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_and_speaks_no_s3_is_told() {
    let words = ["store.s3.endpoint", "does not speak S3"];
    wrong(&parrot("HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>no</html>").await, &words)
        .await;
    wrong(&parrot("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await, &words).await;
    wrong(&parrot("HTTP/1.1 405 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await, &words).await;
    away(&parrot("imok").await, &["store.s3.endpoint"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_with_where_they_come_from_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let settings = config::S3 { credentials_file: Some(file.clone()), ..settings() };
    let named = format!("store.s3.credentials-file ({})", file.display());
    wrong(&settings, &[&named, "cannot be read"]).await;
    std::fs::write(&file, "[default]\n").unwrap();
    wrong(&settings, &[&named, "aws_access_key_id"]).await;
    for (key_id, secret, code) in [(KEY_ID, "wrong", "SignatureDoesNotMatch"), ("nobody", SECRET, "InvalidAccessKeyId")]
    {
        std::fs::write(&file, credentials(key_id, secret)).unwrap();
        wrong(&settings, &[&named, code, "store.s3.bucket"]).await;
        let said = format!("{:?}", open(&settings).await.err());
        assert!(!said.contains(SECRET) && !said.contains("Signature="), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_that_is_not_there_is_named() {
    let settings = config::S3 { bucket: Some("no-such-bucket".into()), ..settings() };
    wrong(&settings, &["NoSuchBucket", "no-such-bucket", "store.s3.bucket"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_is_wrong_and_token_that_has_ended_are_told_apart() {
    let skewed = "HTTP/1.1 403 Forbidden\r\ncontent-length: 80\r\nconnection: close\r\n\r\n\
                  <Error><Code>RequestTimeTooSkewed</Code><Message>Too large.</Message></Error>   ";
    wrong(&parrot(skewed).await, &["RequestTimeTooSkewed", "clocks", "NTP"]).await;
    let expired = "HTTP/1.1 400 Bad Request\r\ncontent-length: 70\r\nconnection: close\r\n\r\n\
                   <Error><Code>ExpiredToken</Code><Message>Ended.</Message></Error>     ";
    wrong(&parrot(expired).await, &["ExpiredToken", "Renew", "credentials-file"]).await;
    let elsewhere = "HTTP/1.1 301 Moved\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    wrong(&parrot(elsewhere).await, &["store.s3.region"]).await;
}
