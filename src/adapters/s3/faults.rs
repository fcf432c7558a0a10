//! What S3 says when it fails, in words that name the setting and what to do.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use crate::config::{self, duration};
use crate::ports::BlobError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such object.
    NotFound,
    Exists,
    Full,
    Unreachable,
    Denied,
    /// What was given for a time has ended.
    Expired,
    /// The clocks of both ends differ.
    Clock,
    NoBucket,
    /// The bucket is elsewhere.
    Region,
    /// Whoever answers speaks something else.
    NotS3,
    /// Its certificate is not trusted.
    Untrusted,
    /// Of ours, not of S3.
    Settings,
    Other,
}

/// Why a call failed, and what may help.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub kind: Kind,
    message: String,
}

impl Fault {
    pub(super) fn new(settings: &config::S3, kind: Kind, why: &str) -> Self {
        Self { kind, message: format!("S3 ({}): {why}", place(settings)) }
    }

    /// Whoever answered does not speak S3.
    pub(super) fn foreign(settings: &config::S3, why: &str) -> Self {
        Self::new(settings, Kind::NotS3, &format!("{why}{}", advice(Kind::NotS3, settings)))
    }

    pub(super) fn deadline(settings: &config::S3, what: &str) -> Self {
        let deadline = duration::text(settings.deadline);
        let message = format!(
            "S3 ({}) did not {what} within store.s3.deadline ({deadline}): look whether store.s3.endpoint is right, and \
             whether it runs and can be reached from here",
            place(settings)
        );
        Self { kind: Kind::Unreachable, message }
    }

    pub(super) fn of(settings: &config::S3, what: &str, error: &Error) -> Self {
        if transport(error).is_some_and(|error| error.kind() == HttpErrorKind::Timeout) {
            return Self::deadline(settings, what);
        }
        let kind = kind(error);
        let message = format!("S3 ({}) did not {what}: {}{}", place(settings), why(error), advice(kind, settings));
        Self { kind, message }
    }
}

impl From<Fault> for BlobError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Full => Self::Full(fault.message),
            _ => Self::Unavailable(fault.message),
        }
    }
}

fn place(settings: &config::S3) -> String {
    let endpoint = settings.endpoint.as_deref().unwrap_or("AWS").trim_end_matches('/');
    format!("{endpoint}, bucket {}", settings.bucket.as_deref().unwrap_or_default())
}

fn transport(error: &Error) -> Option<&HttpError> {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(transport) = found.downcast_ref::<HttpError>() {
            return Some(transport);
        }
        cause = found.source();
    }
    None
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// S3's own name of the error, if there is one in the answer.
fn code(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>")
}

fn kind(error: &Error) -> Kind {
    if transport(error).is_some() {
        let untrusted = innermost(error).contains("invalid peer certificate");
        return if untrusted { Kind::Untrusted } else { Kind::Unreachable };
    }
    let text = error.to_string();
    if let Some(kind) = code(&text).and_then(of_code) {
        return kind;
    }
    match error {
        // An answer to HEAD has no body.
        Error::NotFound { .. } if status(&text).is_some_and(|(_, body)| body.is_empty()) => Kind::NotFound,
        Error::NotFound { .. } => Kind::NotS3,
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => Kind::Exists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Kind::Denied,
        _ if text.contains("Received redirect") => Kind::Region,
        _ => of_text(&text),
    }
}

fn of_code(code: &str) -> Option<Kind> {
    Some(match code {
        "NoSuchKey" | "NoSuchUpload" => Kind::NotFound,
        "NoSuchBucket" | "InvalidBucketName" => Kind::NoBucket,
        "RequestTimeTooSkewed" | "RequestExpired" => Kind::Clock,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Kind::Expired,
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "NotSignedUp" => Kind::Denied,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Kind::Region,
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage" => Kind::Full,
        "InternalError" | "ServiceUnavailable" | "SlowDown" | "RequestTimeout" | "OperationAborted" => {
            Kind::Unreachable
        }
        _ => return None,
    })
}

/// Of an answer without S3's own name of the error.
fn of_text(text: &str) -> Kind {
    match status(text) {
        Some((507, _)) => Kind::Full,
        Some((500.., _)) => Kind::Unreachable,
        Some((300..=399, _)) => Kind::Region,
        Some((401 | 403, _)) => Kind::Denied,
        Some((_, body)) if code(body).is_none() => Kind::NotS3,
        Some(_) => Kind::Other,
        None if NO_S3.iter().any(|words| text.contains(words)) => Kind::NotS3,
        None => Kind::Other,
    }
}

/// What `object_store` says of an answer that it cannot read.
const NO_S3: [&str; 4] =
    ["Got invalid list response", "Got invalid multipart response", "Unable to extract metadata", "Header:"];

/// Of a refusal: its status, and what came with it.
fn status(text: &str) -> Option<(u16, &str)> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    let (line, body) = rest.split_once(": ").unwrap_or((rest, ""));
    Some((line.get(..3)?.parse().ok()?, body.trim()))
}

/// It says most: that no connection could be made, for instance.
pub(super) fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// In a line.
fn why(error: &Error) -> String {
    let text = error.to_string();
    let why = if let Some(code) = code(&text) {
        format!("{code}: {}", between(&text, "<Message>", "</Message>").unwrap_or_default())
    } else if let Some((status, _)) = status(&text) {
        format!("it answered with status {status}")
    } else {
        innermost(error)
    };
    why.lines().next().unwrap_or_default().chars().take(400).collect()
}

fn advice(kind: Kind, settings: &config::S3) -> String {
    let credentials = match &settings.credentials_file {
        Some(file) => format!("store.s3.credentials-file ({})", file.display()),
        None => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or store.s3.credentials-file)".into(),
    };
    let region = settings.region.as_deref().unwrap_or("not set");
    match kind {
        Kind::Full => ". Make room there, or raise the quota of store.s3.bucket".into(),
        Kind::Unreachable => ". Look whether store.s3.endpoint is right, and whether it runs and can be reached from here".into(),
        Kind::Denied => {
            format!(". Look at {credentials}, and at what they may do with store.s3.bucket (conf/doyen.toml says what they need)")
        }
        Kind::Expired => format!(". Renew {credentials}; a file is read again within 10 s, variables at the next start"),
        Kind::Clock => ". The clocks of this host and of S3 differ by too much: set both by NTP".into(),
        Kind::NoBucket => ". Make the bucket, or name another one in store.s3.bucket; store.s3.endpoint has to be without it".into(),
        Kind::Region => format!(". Look at store.s3.region ({region}) and store.s3.endpoint: the bucket is elsewhere"),
        Kind::NotS3 => ". What answers at store.s3.endpoint does not speak S3: look at its host and port, at http and https, and at \
                        store.s3.path-style"
            .into(),
        Kind::Untrusted => ". Look at store.s3.tls-ca, and whether the certificate is for the host of store.s3.endpoint".into(),
        Kind::Settings => ". Look at [store.s3]".into(),
        Kind::NotFound | Kind::Exists | Kind::Other => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn refused(status: &str, body: &str) -> Error {
        generic(&format!(
            "Error performing PUT http://s3/x in 1ms - Server returned non-2xx status code: {status}: {body}"
        ))
    }

    fn named(code: &str) -> String {
        format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>Words.</Message></Error>")
    }

    #[test]
    fn what_s3_says_is_told_apart() {
        for (code, expected) in [
            ("NoSuchKey", Kind::NotFound),
            ("NoSuchBucket", Kind::NoBucket),
            ("InvalidAccessKeyId", Kind::Denied),
            ("SignatureDoesNotMatch", Kind::Denied),
            ("ExpiredToken", Kind::Expired),
            ("RequestTimeTooSkewed", Kind::Clock),
            ("AuthorizationHeaderMalformed", Kind::Region),
            ("XMinioStorageFull", Kind::Full),
            ("SlowDown", Kind::Unreachable),
            ("Anything", Kind::Other),
        ] {
            assert_eq!(kind(&refused("400 Bad Request", &named(code))), expected, "{code}");
        }
    }

    #[test]
    fn who_is_no_s3_is_told() {
        for error in [
            refused("404 Not Found", "<html>no</html>"),
            refused("405 Method Not Allowed", ""),
            refused("400 Bad Request", "<html>https, please</html>"),
            generic("Got invalid list response: invalid type"),
        ] {
            assert_eq!(kind(&error), Kind::NotS3, "{error}");
        }
        assert_eq!(kind(&refused("502 Bad Gateway", "<html>no</html>")), Kind::Unreachable);
        assert_eq!(kind(&refused("403 Forbidden", "no")), Kind::Denied);
        assert_eq!(kind(&refused("507 Insufficient Storage", "")), Kind::Full);
    }

    #[test]
    fn what_is_said_is_one_line_with_the_settings() {
        let settings = config::S3 { bucket: Some("jobs".into()), ..config::S3::default() };
        let fault = Fault::of(&settings, "list", &refused("403 Forbidden", &named("SignatureDoesNotMatch")));
        assert_eq!(
            fault.to_string(),
            "S3 (AWS, bucket jobs) did not list: SignatureDoesNotMatch: Words.. Look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or \
             store.s3.credentials-file), and at what they may do with store.s3.bucket (conf/doyen.toml says what they need)"
        );
    }
}
