//! HTTP to whichever server answers.
//!
//! Whatever goes wrong with the connection, a request goes to the next server. One that changes something bears an
//! idempotency key, so it is done once even if it was done already and only its answer was lost; it is tried for some rounds.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderValue, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::exit::Exit;
use super::failure::{Failure, note};
use crate::runtime::random;
use crate::runtime::tls;

/// How often all servers are tried with a change whose answer was lost.
const ROUNDS: usize = 5;
/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
const KEY_HEADER: &str = "idempotency-key";
const ERROR_HEADER: &str = "doyen-error";
/// Of an answer that tells that the server is still at work on the change.
const AT_WORK: &str = "idempotency-key-at-work";
/// Of answers of a server that does nothing but say so.
const NOT_READY: [&str; 2] = ["starting", "stopping"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any `wait=` that we ask for.
const READ_TIMEOUT: Duration = Duration::from_secs(90);
/// Longer than any server takes to start a context or to take an upload.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The largest result that a server may keep, and what is around it.
const MAX_ANSWER_BYTES: usize = (2 << 30) + (1 << 20);

/// What 403 says of a permission that lacks; it says other things too.
const NOT_AUTHORIZED: &[u8] = b"The supplied authentication is not authorized";

/// What rustls says of a certificate that nobody vouches for; of one that was issued by itself, sometimes the second.
const UNTRUSTED: [&str; 2] = ["UnknownIssuer", "CaUsedAsEndEntity"];

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// What a request is, for every server that it may go to.
pub struct Request<'a> {
    pub method: Method,
    /// Begins with `/`; names in it went through `segment`.
    pub path: String,
    pub query: Vec<(&'a str, String)>,
    /// Adds the body. Is asked again for each server.
    pub body: &'a (dyn Fn(RequestBuilder) -> Result<RequestBuilder, Failure> + Sync),
}

/// Whom to trust with `https:`, and what to show.
pub struct Trust<'a> {
    pub ca: &'a Option<PathBuf>,
    pub cert: &'a Option<PathBuf>,
    pub key: &'a Option<PathBuf>,
}

impl Trust<'_> {
    /// # Errors
    /// A file that cannot be read, or one that lacks another.
    fn config(&self) -> Result<Option<rustls::ClientConfig>, Failure> {
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
            (None, None) => None,
            _ => return Err(Failure::new(Exit::Usage, "--cert and --key go together")),
        };
        let Some(ca) = self.ca else {
            let lacking = Failure::new(Exit::Usage, "--cert needs --ca, the certificates to trust");
            return if identity.is_some() { Err(lacking) } else { Ok(None) };
        };
        let config = tls::client_config(ca, identity);
        config.map(Some).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }
}

/// Why a request was not done by a server.
enum Trouble {
    Unreached(String),
    /// It is there, and does not work yet, or any more.
    NotReady(String),
}

/// What came of a request to one server; the words tell why there is no answer.
enum Tried<T> {
    Answered(T),
    /// It is as if it had not been sent.
    Failed(Trouble),
    /// It may have been done, or be done yet.
    Lost(String),
}

pub struct Client {
    http: reqwest::Client,
    servers: Vec<Url>,
    /// The one that answered last.
    current: AtomicUsize,
}

impl Client {
    /// # Errors
    /// A URL that is none; or no TLS can be set up.
    pub fn new(urls: &[String], trust: &Trust<'_>, authorization: Option<HeaderValue>) -> Result<Self, Failure> {
        let given = urls.iter().map(|url| url.trim()).filter(|url| !url.is_empty());
        let servers = given.map(parse).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(Failure::new(Exit::Usage, "no server is named").hint("name one with --url or DOYEN_URL"));
        }
        if let (Some(_), Some(server)) = (&authorization, over_an_open_road(&servers)) {
            note(format!("warning: {} is not https: whoever is on the way sees the password or token", shown(server)));
        }
        // That another part of the process was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .default_headers(authorization.map(|value| (AUTHORIZATION, value)).into_iter().collect())
            .user_agent(concat!("doyen/", env!("CARGO_PKG_VERSION")));
        // The system's certificates take time to read, and small containers have none.
        let secure = servers.iter().any(|server| server.scheme() == "https");
        let builder = match trust.config()? {
            Some(config) => builder.tls_backend_preconfigured(config),
            None if secure => builder,
            None => builder.tls_certs_only([]),
        };
        let http = builder
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot set up the HTTP client: {}", cause(&error))))?;
        Ok(Self { http, servers, current: AtomicUsize::new(0) })
    }

    /// Reads; any answer below 300 is good.
    pub async fn get(&self, path: String, query: Vec<(&str, String)>) -> Result<Answer, Failure> {
        self.ask(Request { method: Method::GET, path, query, body: &Ok }).await
    }

    /// One request and its whole answer; any below 300 is good.
    pub async fn ask(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let reads = request.method == Method::GET;
        let whole = async |response: Response| {
            let status = response.status();
            collect(response).await.map(|body| Answer { status, body })
        };
        let timeout = if reads { READ_TIMEOUT } else { CHANGE_TIMEOUT };
        let answer = self.send(&request, Some(timeout), whole).await?;
        if answer.body.len() > MAX_ANSWER_BYTES {
            return Err(Failure::new(Exit::ServerError, format!("the answer is over {MAX_ANSWER_BYTES} bytes")));
        }
        if answer.status.as_u16() < 300 { Ok(answer) } else { Err(refusal(&answer)) }
    }

    /// Reads an answer of any length, without a limit of time.
    pub async fn stream(&self, path: String, query: Vec<(&str, String)>) -> Result<Response, Failure> {
        self.stream_from(path, query, 0).await
    }

    /// The same, without so many bytes at its beginning.
    pub async fn stream_from(&self, path: String, query: Vec<(&str, String)>, begin: u64) -> Result<Response, Failure> {
        let range = |request: RequestBuilder| {
            Ok(if begin > 0 { request.header(RANGE, format!("bytes={begin}-")) } else { request })
        };
        let request = Request { method: Method::GET, path, query, body: &range };
        let response = self.send(&request, None, async |response| Ok(response)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = collect(response).await.unwrap_or_default();
        Err(refusal(&Answer { status, body }))
    }

    async fn send<T>(
        &self,
        request: &Request<'_>,
        timeout: Option<Duration>,
        read: impl AsyncFn(Response) -> Result<T, reqwest::Error>,
    ) -> Result<T, Failure> {
        let key = (request.method != Method::GET).then(random::id);
        // The first server that took the change, and did not answer.
        let mut lost: Option<Failure> = None;
        let mut troubles = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            troubles.clear();
            let first = self.current.load(Ordering::Relaxed);
            for offset in 0..self.servers.len() {
                let index = (first + offset) % self.servers.len();
                let server = &self.servers[index];
                if let Err(trouble) = self.ready(server).await {
                    troubles.push((server, trouble));
                    continue;
                }
                match self.try_one(server, request, key.as_deref(), timeout, &read).await? {
                    Tried::Answered(answer) => {
                        self.current.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Tried::Failed(trouble) => troubles.push((server, trouble)),
                    Tried::Lost(why) => {
                        lost.get_or_insert_with(|| unknown_outcome(server, &why));
                    }
                }
            }
            if lost.is_none() {
                break;
            }
        }
        Err(lost.unwrap_or_else(|| unreachable(&troubles)))
    }

    async fn try_one<T>(
        &self,
        server: &Url,
        request: &Request<'_>,
        key: Option<&str>,
        timeout: Option<Duration>,
        read: &impl AsyncFn(Response) -> Result<T, reqwest::Error>,
    ) -> Result<Tried<T>, Failure> {
        let mut built = self.http.request(request.method.clone(), url(server, &request.path, &request.query));
        if let Some(key) = key {
            built = built.header(KEY_HEADER, format!("\"{key}\""));
        }
        if let Some(timeout) = timeout {
            built = built.timeout(timeout);
        }
        let is = |response: &Response, codes: &[&str]| {
            response.headers().get(ERROR_HEADER).is_some_and(|code| codes.iter().any(|one| code == one))
        };
        let answer = match (request.body)(built)?.send().await {
            Ok(response) if is(&response, &[AT_WORK]) => return Ok(Tried::Lost("it is still at work".into())),
            Ok(response) if is(&response, &NOT_READY) => return Ok(Tried::Failed(not_ready(response).await)),
            Ok(response) => read(response).await,
            Err(error) => Err(error),
        };
        Ok(match answer {
            Ok(answer) => Tried::Answered(answer),
            Err(error) if error.is_connect() || key.is_none() => Tried::Failed(Trouble::Unreached(cause(&error))),
            Err(error) => Tried::Lost(cause(&error)),
        })
    }

    /// Asks only when there is a choice. A server that does not know the question is as good as its answers.
    async fn ready(&self, server: &Url) -> Result<(), Trouble> {
        if self.servers.len() == 1 {
            return Ok(());
        }
        let asked = self.http.get(url(server, "/readyz", &[])).timeout(READY_TIMEOUT).send().await;
        match asked {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => Err(not_ready(response).await),
            Ok(_) => Ok(()),
            Err(error) => Err(Trouble::Unreached(cause(&error))),
        }
    }
}

/// With what the server says of why.
async fn not_ready(response: Response) -> Trouble {
    let status = response.status();
    let body = collect(response).await.unwrap_or_default();
    Trouble::NotReady(super::answer::reason(&Answer { status, body }))
}

/// A server that is not on this machine, and to which everything goes unencrypted.
fn over_an_open_road(servers: &[Url]) -> Option<&Url> {
    let is_here = |server: &Url| match server.host_str().unwrap_or_default() {
        "localhost" => true,
        host => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    servers.iter().find(|server| server.scheme() == "http" && !is_here(server))
}

/// A name as one part of a path.
///
/// # Errors
/// Nothing, `.` and `..` cannot be sent as such.
pub fn segment(name: &str) -> Result<String, Failure> {
    match name {
        "" | "." | ".." => Err(Failure::new(Exit::Usage, format!("{name:?} cannot be a name"))),
        name => Ok(utf8_percent_encode(name, SEGMENT).to_string()),
    }
}

fn parse(text: &str) -> Result<Url, Failure> {
    let wrong = |why: String| Failure::new(Exit::Usage, why).hint("write one like http://127.0.0.1:8090");
    // A URL may hold a password, so it is not repeated.
    let url = Url::parse(text).map_err(|error| wrong(format!("a --url is no URL: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(wrong(format!("a --url begins with `{scheme}:`, not with http:// or https://"))),
    }
}

fn url(server: &Url, path: &str, query: &[(&str, String)]) -> Url {
    let mut url = server.clone();
    url.set_path(&format!("{}{path}", server.path().trim_end_matches('/')));
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Without user and password.
fn shown(server: &Url) -> String {
    let mut url = server.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// The body, cut soon after it is over `MAX_ANSWER_BYTES`.
async fn collect(mut response: Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(body.freeze())
}

/// The innermost reason, which says what happened.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time".into() } else { "no answer in time".into() };
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn unreachable(troubles: &[(&Url, Trouble)]) -> Failure {
    let is_there = troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::NotReady(_)));
    let is_untrusted = |(_, trouble): &(&Url, Trouble)| match trouble {
        Trouble::Unreached(why) => UNTRUSTED.iter().any(|word| why.contains(word)),
        Trouble::NotReady(_) => false,
    };
    let hint = if troubles.iter().any(is_untrusted) {
        "--ca or DOYEN_CA names a PEM file with the server's certificate, or that of the authority that has issued it"
    } else if is_there {
        "it has not begun to work, or has ceased to: try again; its log says more"
    } else {
        "`doyen server` starts one; --url or DOYEN_URL names another"
    };
    let line = |(server, trouble): &(&Url, Trouble)| {
        let (Trouble::Unreached(why) | Trouble::NotReady(why)) = trouble;
        format!("{}: {why}", shown(server))
    };
    let lines: Vec<String> = troubles.iter().map(line).collect();
    let message = match (&lines[..], is_there) {
        ([line], true) => format!("the server is not ready, {line}"),
        ([line], false) => format!("no server at {line}"),
        (lines, true) => format!("no server is ready:\n  {}", lines.join("\n  ")),
        (lines, false) => format!("no server can be reached:\n  {}", lines.join("\n  ")),
    };
    Failure::new(Exit::Unreachable, message).hint(hint)
}

fn unknown_outcome(server: &Url, why: &str) -> Failure {
    let message =
        format!("{} took the request, but its answer was lost ({why}); whether it was done is unknown", shown(server));
    Failure::new(Exit::OutcomeUnknown, message).hint("look with `list` or `show` before you try again")
}

/// What the server says of why not.
fn refusal(answer: &Answer) -> Failure {
    let exit = match answer.status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        status if status.is_client_error() => Exit::Refused,
        _ => Exit::ServerError,
    };
    let failure = Failure::new(exit, super::answer::reason(answer));
    match answer.status {
        StatusCode::UNAUTHORIZED => failure.hint(
            "say who you are with --user NAME (the password is DOYEN_PASSWORD, or is asked for), --token-file or DOYEN_TOKEN",
        ),
        StatusCode::FORBIDDEN if answer.body.starts_with(NOT_AUTHORIZED) => {
            failure.hint("your roles do not permit it, or the token does not: ask who keeps the users file")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_the_path() {
        assert_eq!(segment("a/b ü").unwrap(), "a%2Fb%20%C3%BC");
        assert!(segment("..").is_err());
        let server = parse("http://u:p@h:1/base/").unwrap();
        let whole = url(&server, &format!("/binaries/{}", segment("a/b").unwrap()), &[("q", "x&y".into())]);
        assert_eq!(whole.as_str(), "http://u:p@h:1/base/binaries/a%2Fb?q=x%26y");
        assert_eq!(shown(&server), "http://h:1/base");
    }

    #[test]
    fn only_this_machine_is_reached_safely_without_encryption() {
        let open = |url: &str| over_an_open_road(&[parse(url).unwrap()]).is_some();
        assert!(open("http://example.org") && open("http://10.0.0.1:8090"));
        for safe in ["https://example.org", "http://localhost:8090", "http://127.0.0.1", "http://[::1]:8090"] {
            assert!(!open(safe), "{safe}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for wrong in ["localhost:8090", "ftp://h", "not a url"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Client::new(&["".into(), " ".into()], &Trust { ca: &None, cert: &None, key: &None }, None).is_err());
    }
}
