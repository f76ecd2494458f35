//! Names to addresses, with the forbidden ones left out: what the HTTP client connects to is what
//! was checked, whatever the name server says a moment later.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::{AddressRules, Trust};

/// How long a name server may take when an endpoint is made.
const PATIENCE: Duration = Duration::from_secs(5);

/// All addresses of a name are forbidden.
#[derive(Debug, thiserror::Error)]
#[error("no address of the host may be called")]
pub(super) struct NoneAllowed;

/// What a name server answers.
type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a name's addresses are asked for.
pub(super) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// The system's way.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// A resolver for one trust and scheme.
pub(super) struct Guard {
    pub lookup: Lookup,
    pub rules: Arc<AddressRules>,
    pub trust: Trust,
    pub encrypted: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, trust, encrypted) = (self.rules.clone(), self.trust, self.encrypted);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = found
                .await?
                .into_iter()
                .filter(|address| rules.permit(address.ip(), trust, encrypted))
                .collect();
            if allowed.is_empty() {
                return Err(NoneAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// What a URL's host leads to at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// At least one address that may be called.
    Allowed,
    /// Only addresses that may not.
    Forbidden,
    /// Nothing.
    Nowhere,
}

/// Looks where a URL leads; literal addresses were judged with the URL.
pub(super) async fn reach(url: &Url, rules: &AddressRules, trust: Trust, lookup: &Lookup) -> Reach {
    let Some(Host::Domain(name)) = url.host() else {
        return Reach::Allowed;
    };
    let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, lookup(name.to_owned())).await else {
        return Reach::Nowhere;
    };
    let encrypted = url.scheme() == "https";
    let mut reach = Reach::Nowhere;
    for address in found {
        if rules.permit(address.ip(), trust, encrypted) {
            return Reach::Allowed;
        }
        reach = Reach::Forbidden;
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(trust: Trust, encrypted: bool, allowed: &[&str]) -> Guard {
        let allowed = allowed
            .iter()
            .map(|network| network.parse().expect("network"))
            .collect();
        Guard {
            lookup: system(),
            rules: Arc::new(AddressRules { allowed }),
            trust,
            encrypted,
        }
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_refused_unless_allowed() {
        let resolve = |guard: Guard| async move { guard.resolve("localhost".parse().expect("name")).await };
        let refused = resolve(guard(Trust::Caller, true, &[]))
            .await
            .err()
            .expect("refused");
        assert!(refused.downcast_ref::<NoneAllowed>().is_some());
        for allowed in [
            guard(Trust::Caller, false, &["127.0.0.0/8", "::1/128"]),
            guard(Trust::Operator, false, &[]),
            guard(Trust::Operator, true, &[]),
        ] {
            let found = resolve(allowed).await.expect("allowed");
            assert!(found.into_iter().all(|address| address.ip().is_loopback()));
        }
    }

    #[tokio::test]
    async fn reach_tells_forbidden_from_nowhere() {
        let rules = AddressRules::default();
        let url = |text: &str| Url::parse(text).expect("URL");
        assert_eq!(
            reach(&url("https://localhost/"), &rules, Trust::Caller, &system()).await,
            Reach::Forbidden
        );
        assert_eq!(
            reach(&url("http://localhost/"), &rules, Trust::Operator, &system()).await,
            Reach::Allowed
        );
        assert_eq!(
            reach(
                &url("https://no-such-host.invalid/"),
                &rules,
                Trust::Caller,
                &system()
            )
            .await,
            Reach::Nowhere
        );
    }
}
