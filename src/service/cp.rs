//! From what a client names to content: uploaded binaries by name, others by URI.

use std::sync::Arc;

use futures::StreamExt;

use super::{Service, ServiceError};
use crate::core::binaries::BinaryType;
use crate::core::jobs::{BinaryUse, Failure};
use crate::jobs::records::Hold;
use crate::ports::{OutboundError, Revision};

/// Code as the job will get it, and the versions of the uploaded binaries among it.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    pub binaries: Vec<BinaryUse>,
    pub versions: Vec<(String, Revision)>,
    /// Content that was fetched for this job, until the job is recorded.
    held: Vec<Arc<Hold>>,
}

/// Whether a part of `cp` is a URI: a scheme, then `:/`. Names of binaries may hold colons.
fn is_uri(part: &str) -> bool {
    part.split_once(":/").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

impl Service {
    pub(super) async fn resolve(&self, parts: &[String]) -> Result<Resolved, ServiceError> {
        let mut resolved = Resolved::default();
        for part in parts {
            if is_uri(part) {
                let (fetched, held) = self.fetch(part).await?;
                resolved.held.push(Arc::new(held));
                resolved.binaries.push(fetched);
                continue;
            }
            let found = self.records.binary(part).await?;
            let found = found.ok_or_else(|| ServiceError::AppNotFound(part.clone()))?;
            resolved.versions.push((part.clone(), found.version));
            resolved.binaries.push(BinaryUse {
                name: part.clone(),
                kind: found.record.kind,
                content: found.record.content,
                uploaded: true,
            });
        }
        Ok(resolved)
    }

    /// Fetched anew for each job: what stands behind a URI may change.
    async fn fetch(&self, uri: &str) -> Result<(BinaryUse, Hold), ServiceError> {
        let malformed = |why: String| ServiceError::MalformedUrl(Failure::new("MalformedUrl", why));
        self.outbound.check_fetch(uri).map_err(|error| match error {
            OutboundError::Malformed(why) => malformed(why),
            other => ServiceError::JobLoading(Failure::new("ForbiddenUri", other.to_string())),
        })?;
        let path = uri.split(['?', '#']).next().unwrap_or(uri);
        let kind = BinaryType::of_file_name(path).ok_or_else(|| {
            malformed(format!("the URI {uri} does not end in .jar, .egg or .whl, which would tell its type"))
        })?;
        let failed = |why: String| ServiceError::JobLoading(Failure::new("FetchFailed", format!("{uri}: {why}")));
        let content = self.outbound.fetch(uri).await.map_err(|error| failed(error.to_string()))?;
        let mut content = content.map(|part| part.map_err(|error| error.to_string()));
        let (content, held) = self.store_archive(&mut content).await.map_err(|error| match error {
            ServiceError::BodyCut(why) | ServiceError::BadBinary(why) => failed(why),
            other => other,
        })?;
        Ok((BinaryUse { name: uri.into(), kind, content, uploaded: false }, held))
    }
}

#[cfg(test)]
mod tests {
    use super::is_uri;

    #[test]
    fn a_uri_has_a_scheme_and_a_slash() {
        assert!(is_uri("http://host/x.whl") && is_uri("file:/x.egg") && is_uri("local:///x.jar"));
        assert!(!is_uri("a:b") && !is_uri("name") && !is_uri("1:/x") && !is_uri("a b:/x"));
    }
}
