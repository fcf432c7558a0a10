//! What a browser may be made to ask: a page of somebody else must not run jobs here in its reader's name.
//!
//! Browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`); other clients say neither, and are not concerned.
//! Against pages whose own name was made to point here (DNS rebinding) browsers may use only known names for this server.
//! A page that came over plain HTTP is told of by no header when it only reads: where nothing but the network lets clients
//! in, the name counts in every request that a browser could have made. On loopback that is each one; elsewhere programs
//! may use any name (of a Kubernetes service, say), as what a browser adds to each request by itself tells it from them.

use axum::http::{HeaderMap, Method, header};

/// Last labels of names that nobody can register, so that no page can have such a name from outside.
const PRIVATE: [&str; 4] = ["local", "localhost", "internal", "home.arpa"];

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Another site's page asks for a change.
    Origin,
    /// The client knows this server under a name that is not in `http.hosts`.
    Host,
    /// A browser asks for a change by a GET, as a picture on any page could.
    Disguised,
}

impl Foreign {
    pub fn text(&self) -> &'static str {
        match self {
            Self::Origin => "A page of another site asked for this; http.cors-origins says which may.",
            Self::Host => "This server may not be called by that name; http.hosts says by which it may.",
            Self::Disguised => "A browser may not ask for a change by GET and _method; use the verb itself.",
        }
    }
}

/// In which requests the name counts by which the client calls this server, besides those that say that they are a page's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Never,
    InBrowsers,
    Always,
}

/// By what names this server may be called: always by addresses and `localhost`.
#[derive(Debug, Clone)]
pub struct Names {
    /// As configured, and its machine's own; `*` is any.
    pub hosts: Vec<String>,
    /// Also by names that only the local network can give. A machine on the move gets its names from strangers, but
    /// what listens for others is on a network of its own.
    pub local: bool,
}

impl Names {
    fn know(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // No page's name is an address or `localhost`.
        bare.parse::<std::net::IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || (self.local && is_local(name))
            || self.hosts.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(name))
    }
}

fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let private = |last: &&str| name.strip_suffix(*last).is_some_and(|rest| rest.ends_with('.'));
    !name.is_empty() && (!name.contains('.') || PRIVATE.iter().any(private))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `origins` as configured; `*` among them is any.
pub fn check(method: &Method, headers: &HeaderMap, origins: &[String], names: &Names) -> Result<(), Foreign> {
    let (site, origin) = (text(headers, "sec-fetch-site"), text(headers, header::ORIGIN.as_str()));
    if site.is_none() && origin.is_none() {
        return Ok(());
    }
    let host = text(headers, header::HOST.as_str()).unwrap_or_default();
    if !names.know(host) {
        return Err(Foreign::Host);
    }
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    let listed = |origin: &str| origins.iter().any(|allowed| allowed == "*" || allowed == origin);
    let welcome = match (origin, site) {
        (Some(origin), _) => own(origin) || listed(origin),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    };
    if welcome || reads(method) { Ok(()) } else { Err(Foreign::Origin) }
}

fn reads(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// A GET that `_method` turns into `method`. Over plain HTTP browsers do not say what page it is for.
pub fn check_disguise(method: &Method, headers: &HeaderMap) -> Result<(), Foreign> {
    let says = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if reads(method) || says || !is_browser(headers) { Ok(()) } else { Err(Foreign::Disguised) }
}

/// Whether the client calls this server by a name that it has. A browser always says one.
pub fn check_host(headers: &HeaderMap, names: &Names, counts: Counts) -> Result<(), Foreign> {
    let concerned = match counts {
        Counts::Never => false,
        Counts::InBrowsers => is_browser(headers),
        Counts::Always => true,
    };
    let Some(host) = headers.get(header::HOST).filter(|_| concerned) else { return Ok(()) };
    if host.to_str().is_ok_and(|host| names.know(host)) { Ok(()) } else { Err(Foreign::Host) }
}

/// Every browser sends these; a page may change what they say, but cannot have them left out.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = text(headers, header::USER_AGENT.as_str()).unwrap_or_default();
    agent.starts_with("Mozilla/") || headers.contains_key(header::ACCEPT_LANGUAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        check(method, &map, &["https://ui.example.org".into()], &names(false))
    }

    fn names(local: bool) -> Names {
        Names { hosts: vec!["jobs.example.org".into()], local }
    }

    /// Of a request with these headers to this name.
    fn called(host: &str, counts: Counts, names: &Names, headers: &[(&'static str, &str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        check_host(&map, names, counts)
    }

    #[test]
    fn clients_that_are_no_browsers_are_not_concerned() {
        assert_eq!(asked(&Method::POST, &[("host", "anything:1")]), Ok(()));
    }

    #[test]
    fn a_page_of_another_site_may_change_nothing() {
        let here = ("host", "127.0.0.1:8090");
        for there in [("origin", "http://localhost:8090"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(asked(&Method::POST, &[here, there]), Err(Foreign::Origin), "{there:?}");
            assert_eq!(asked(&Method::GET, &[here, there]), Ok(()), "{there:?}");
        }
        assert_eq!(asked(&Method::DELETE, &[here, ("sec-fetch-site", "same-site")]), Err(Foreign::Origin));
    }

    #[test]
    fn own_and_allowed_pages_may() {
        let here = ("host", "jobs.example.org");
        for origin in ["http://jobs.example.org", "https://ui.example.org"] {
            assert_eq!(asked(&Method::POST, &[here, ("origin", origin), ("sec-fetch-site", "cross-site")]), Ok(()));
        }
        assert_eq!(asked(&Method::POST, &[here, ("sec-fetch-site", "same-origin")]), Ok(()));
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused_even_to_read() {
        let rebound = [("host", "evil.example:8090"), ("sec-fetch-site", "same-origin")];
        assert_eq!(asked(&Method::GET, &rebound), Err(Foreign::Host));
        for known in ["localhost:8090", "[::1]:8090", "10.1.2.3", "JOBS.example.org:80"] {
            assert_eq!(asked(&Method::GET, &[("host", known), ("sec-fetch-site", "none")]), Ok(()), "{known}");
        }
    }

    #[test]
    fn a_rebound_page_over_plain_http_is_known_by_the_host_alone() {
        let asked = |host: &str| called(host, Counts::Always, &names(false), &[]);
        for unknown in
            ["evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "jobs", "a.local"]
        {
            assert_eq!(asked(unknown), Err(Foreign::Host), "{unknown}");
        }
        for known in ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "jobs.example.org"] {
            assert_eq!(asked(known), Ok(()), "{known}");
        }
        assert_eq!(check_host(&HeaderMap::new(), &names(false), Counts::Always), Ok(()));
    }

    #[test]
    fn on_a_network_programs_call_by_any_name_and_browsers_by_those_that_no_stranger_can_have() {
        let asked = |host: &str, headers: &[_]| called(host, Counts::InBrowsers, &names(true), headers);
        let (agent, language) = (("user-agent", "Mozilla/5.0 (X11)"), ("accept-language", "*"));
        for program in [&[][..], &[("user-agent", "curl/8.5.0")]] {
            assert_eq!(asked("doyen.jobs.svc.cluster.local:8090", program), Ok(()));
            assert_eq!(asked("evil.example:8090", program), Ok(()));
        }
        // A page may call its browser what it likes, but says in some language what it wants.
        for browser in [&[agent][..], &[language], &[("user-agent", "curl/8.5.0"), language]] {
            for unknown in ["evil.example:8090", "10.0.0.1.evil.example", "x.local.evil.example", ".local.", ""] {
                assert_eq!(asked(unknown, browser), Err(Foreign::Host), "{unknown}");
            }
            for known in
                ["10.1.2.3:8090", "jobs:8090", "doyen.jobs.svc.cluster.local", "x.INTERNAL", "jobs.example.org"]
            {
                assert_eq!(asked(known, browser), Ok(()), "{known}");
            }
        }
        assert_eq!(called("evil.example", Counts::Never, &names(true), &[agent]), Ok(()));
    }

    #[test]
    fn a_picture_on_a_page_changes_nothing() {
        let asked = |method, headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            check_disguise(&method, &map)
        };
        let browser = ("accept-language", "en");
        assert_eq!(asked(Method::DELETE, &[browser]), Err(Foreign::Disguised));
        assert_eq!(asked(Method::HEAD, &[browser]), Ok(()));
        assert_eq!(asked(Method::DELETE, &[("user-agent", "curl/8.5.0")]), Ok(()));
        // What it says is judged by `check`.
        assert_eq!(asked(Method::DELETE, &[browser, ("sec-fetch-site", "none")]), Ok(()));
    }
}
