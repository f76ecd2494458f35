//! Which web pages may open a WebSocket. Pure.
//!
//! A browser lets every page open a WebSocket to every host, and says in `Origin` whose page it is. A page of our own
//! host is welcome where the host's name cannot be made to mean this machine by somebody else: an address, or
//! `localhost`. (Any other name may be pointed here by its owner, with a page of his.) All others must be configured.

use url::{Host, Url};

/// Whether a request with this `Origin` and `Host` may pass. Who sends no `Origin` is no browser.
pub fn may_pass(origin: Option<&str>, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = origin else {
        return true;
    };
    allowed.iter().any(|known| same(known, origin)) || is_own(origin, host)
}

/// Whether an origin is the one of a configured page.
fn same(known: &str, origin: &str) -> bool {
    match (parse(known), parse(origin)) {
        (Some(known), Some(origin)) => known.origin() == origin.origin(),
        _ => false,
    }
}

fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some(origin), Some(host)) = (parse(origin), host) else {
        return false;
    };
    let Some(host) = parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    let fixed = match origin.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    fixed && origin.origin() == host.origin()
}

/// An origin: scheme, host, perhaps a port, and nothing else.
fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    bare.then_some(url)
}

/// Whether this can stand in the list of configured origins.
pub fn is_origin(text: &str) -> bool {
    parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_own_pages_pass() {
        assert!(may_pass(None, Some("127.0.0.1:8000"), &[]));
        for (origin, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://LOCALHOST:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://10.0.0.7", "10.0.0.7"),
        ] {
            assert!(may_pass(Some(origin), Some(host), &[]), "{origin}");
        }
    }

    #[test]
    fn pages_of_others_do_not() {
        for (origin, host) in [
            ("https://evil.example", "127.0.0.1:8000"),
            ("http://127.0.0.1:3000", "127.0.0.1:8000"),
            ("http://localhost:8000", "127.0.0.1:8000"),
            // A name whose owner has pointed it at this machine.
            ("http://evil.example:8000", "evil.example:8000"),
            (
                "http://localhost.evil.example:8000",
                "localhost.evil.example:8000",
            ),
            ("null", "127.0.0.1:8000"),
            ("", "127.0.0.1:8000"),
            ("file:///", "127.0.0.1:8000"),
            ("http://127.0.0.1:8000@evil.example", "127.0.0.1:8000"),
            ("http://127.0.0.1:8000/x", "127.0.0.1:8000"),
        ] {
            assert!(!may_pass(Some(origin), Some(host), &[]), "{origin}");
        }
        assert!(!may_pass(Some("http://127.0.0.1:8000"), None, &[]));
    }

    #[test]
    fn configured_pages_pass_whatever_the_host() {
        let allowed = ["https://panel.example".to_owned()];
        assert!(may_pass(
            Some("https://panel.example"),
            Some("anything"),
            &allowed
        ));
        assert!(may_pass(
            Some("https://panel.example:443"),
            Some("anything"),
            &allowed
        ));
        for other in [
            "http://panel.example",
            "https://panel.example:8443",
            "https://xpanel.example",
        ] {
            assert!(!may_pass(Some(other), Some("anything"), &allowed), "{other}");
        }
    }
}
