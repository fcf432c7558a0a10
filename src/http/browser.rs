//! What a browser may be made to ask: a page of somebody else must not run jobs here in its reader's name.
//!
//! Browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`); other clients say neither, and are not concerned.
//! Against pages whose own name was made to point here (DNS rebinding) browsers may use only known names for this server.
//! A page that came over plain HTTP is told of by no header when it only reads: where nothing but the network lets clients
//! in, the name counts in every request.

use axum::http::{HeaderMap, Method, header};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Another site's page asks for a change.
    Origin,
    /// The client knows this server under a name that is not in `http.hosts`.
    Host,
}

impl Foreign {
    pub fn text(&self) -> &'static str {
        match self {
            Self::Origin => "A page of another site asked for this; http.cors-origins says which may.",
            Self::Host => "This server may not be called by that name; http.hosts says by which it may.",
        }
    }
}

/// `origins` and `hosts` as configured; `*` among them is any.
pub fn check(method: &Method, headers: &HeaderMap, origins: &[String], hosts: &[String]) -> Result<(), Foreign> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (site, origin) = (text("sec-fetch-site"), text(header::ORIGIN.as_str()));
    if site.is_none() && origin.is_none() {
        return Ok(());
    }
    let host = text(header::HOST.as_str()).unwrap_or_default();
    if !is_known(host, hosts) {
        return Err(Foreign::Host);
    }
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    let listed = |origin: &str| origins.iter().any(|allowed| allowed == "*" || allowed == origin);
    let welcome = match (origin, site) {
        (Some(origin), _) => own(origin) || listed(origin),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    };
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if welcome || reads { Ok(()) } else { Err(Foreign::Origin) }
}

/// Of any client: whether it calls this server by a name that it has. A browser always says one.
pub fn check_host(headers: &HeaderMap, hosts: &[String]) -> Result<(), Foreign> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    if host.to_str().is_ok_and(|host| is_known(host, hosts)) { Ok(()) } else { Err(Foreign::Host) }
}

/// No page's name is an address or `localhost`.
fn is_known(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        check(method, &map, &["https://ui.example.org".into()], &["jobs.example.org".into()])
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
        let asked = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            check_host(&headers, &["jobs.example.org".into()])
        };
        for unknown in ["evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example:80", ""] {
            assert_eq!(asked(unknown), Err(Foreign::Host), "{unknown}");
        }
        for known in ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "jobs.example.org"] {
            assert_eq!(asked(known), Ok(()), "{known}");
        }
        assert_eq!(check_host(&HeaderMap::new(), &[]), Ok(()));
    }
}
