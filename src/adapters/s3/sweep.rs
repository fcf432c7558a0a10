//! What uploads left in a bucket that were broken off: temporary objects, and uploads in parts that were never completed.
//!
//! `object_store` does not list the latter, which cost money and which no other listing shows. So they are asked for here.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method};

use super::faults::{Fault, Kind};
use super::link::{Link, Result};
use crate::adapters::blobs::{TEMPORARY, UPLOADS_END, age};

/// S3 tells of 1000 uploads at most.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Removes what began over a day ago: how many of both.
pub(super) async fn sweep(link: &Link) -> Result<usize> {
    let mut removed = 0;
    let keys: Vec<_> = link.list(Some(TEMPORARY), None).try_collect().await?;
    for (key, _) in keys {
        if is_old(&key) {
            link.delete(&key).await?;
            removed += 1;
        }
    }
    for unfinished in unfinished(link).await? {
        if is_old(&unfinished.key) {
            let path = Path::from(unfinished.key);
            match link.bounded("break an upload off", link.store().abort_multipart(&path, &unfinished.id)).await {
                // It was completed or broken off meanwhile.
                Err(fault) if fault.kind != Kind::NotFound => return Err(fault),
                _ => removed += 1,
            }
        }
    }
    Ok(removed)
}

fn is_old(key: &str) -> bool {
    key.rsplit('/').next().and_then(age).is_some_and(|age| age > UPLOADS_END)
}

#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    /// With the store's path.
    key: String,
    id: String,
}

/// The first ones: the next sweep finds more.
async fn unfinished(link: &Link) -> Result<Vec<Unfinished>> {
    let what = "list uploads";
    let settings = link.settings();
    let prefix = format!("{}/", link.path(TEMPORARY));
    let query = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", &*prefix)]);
    let bucket = Path::default();
    let url = link.store().signed_url_opts(Method::GET, &bucket, settings.deadline + Duration::from_secs(60), &query);
    let url = link.bounded(what, url).await?;
    let failed = |error: reqwest::Error| {
        // The URL is as good as a password.
        Fault::new(settings, Kind::Unreachable, &format!("did not {what}: {}", error.without_url()))
    };
    let authorities = Certificate::from_pem_bundle(link.authorities()).map_err(failed)?;
    let client = Client::builder().timeout(settings.deadline).https_only(!settings.allow_http).redirect(Policy::none());
    let client = client.tls_certs_merge(authorities).build().map_err(failed)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_ANSWER_BYTES {
            return Err(Fault::foreign(settings, "the list of uploads does not end"));
        }
    }
    let refused =
        |kind, why: &str| Fault::new(settings, kind, &format!("did not {what}: it answered with status {status}{why}"));
    if status.is_server_error() {
        return Err(refused(Kind::Unreachable, ""));
    }
    let found = if status.is_success() { parse(&String::from_utf8_lossy(&text)) } else { None };
    found.ok_or_else(|| refused(Kind::Denied, "; credentials need s3:ListBucketMultipartUploads"))
}

fn parse(text: &str) -> Option<Vec<Unfinished>> {
    let document = roxmltree::Document::parse(text).ok()?;
    let root = document.root_element();
    if root.tag_name().name() != "ListMultipartUploadsResult" {
        return None;
    }
    let text_of = |upload: roxmltree::Node<'_, '_>, name: &str| {
        let found = upload.children().find(|child| child.tag_name().name() == name);
        found.and_then(|found| found.text()).map(str::to_owned)
    };
    let uploads = root.children().filter(|child| child.tag_name().name() == "Upload");
    Some(
        uploads
            .filter_map(|upload| Some(Unfinished { key: text_of(upload, "Key")?, id: text_of(upload, "UploadId")? }))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_read_from_the_answer_and_nothing_from_another_one() {
        let text = "<ListMultipartUploadsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>b</Bucket>\
                    <Upload><Key>doyen/tmp/1</Key><UploadId>one</UploadId></Upload><Upload><Key>half</Key></Upload>\
                    </ListMultipartUploadsResult>";
        assert_eq!(parse(text), Some(vec![Unfinished { key: "doyen/tmp/1".into(), id: "one".into() }]));
        assert_eq!(parse("<ListBucketResult/>"), None);
        assert_eq!(parse("no"), None);
    }
}
