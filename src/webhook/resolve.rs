//! Names to addresses, with the forbidden ones left out: what the HTTP client connects to is what
//! was checked, whatever the name server says a moment later.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::address::{AddressRules, Trust};

/// How long a name server may take when an endpoint is made.
const PATIENCE: Duration = Duration::from_secs(5);

/// All addresses of a name are forbidden.
#[derive(Debug, thiserror::Error)]
#[error("no address of the host may be called")]
pub(super) struct NoneAllowed;

/// A name leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
pub(super) struct Unresolved(#[source] pub(super) io::Error);

/// What a name server answers.
type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a name's addresses are asked for.
pub(super) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// The system's way, for all endpoints together: so many names at once, and each name once at a time. A look-up that
/// takes a minute, of a name whose server is gone, has a thread for as long, whoever still waits for it.
pub(super) fn system() -> Lookup {
    limited(|name| Ok((name, 0).to_socket_addrs()?.collect()))
}

/// How many names are looked up at once.
const LOOKUPS: usize = 32;

/// How many names that are not asked for any more may be remembered before they are forgotten.
const FORGET: usize = 256;

type Addresses = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;
type Asking = Pin<Box<dyn Future<Output = Addresses> + Send>>;
type Asked = Shared<Asking>;
/// By name; one that nobody waits for any more is gone.
type UnderWay = HashMap<String, WeakShared<Asking>>;

/// A blocking way, as often at once as there are [`LOOKUPS`].
fn limited(ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Lookup {
    let slots = Arc::new(Semaphore::new(LOOKUPS));
    let under_way = Mutex::new(UnderWay::new());
    Arc::new(move |name| {
        let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let known = under_way.get(&name).and_then(WeakShared::upgrade);
        let asked = known.filter(|asked| asked.peek().is_none()).unwrap_or_else(|| {
            let asked = asked(slots.clone(), name.clone(), ask);
            if under_way.len() >= FORGET {
                under_way.retain(|_, asked| asked.upgrade().is_some());
            }
            if let Some(weak) = asked.downgrade() {
                under_way.insert(name, weak);
            }
            asked
        });
        drop(under_way);
        Box::pin(async move { asked.await.map_err(|(kind, why)| io::Error::new(kind, why)) })
    })
}

fn asked(slots: Arc<Semaphore>, name: String, ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Asked {
    let asked = async move {
        let told = |error: io::Error| (error.kind(), error.to_string());
        let slot = slots.acquire_owned().await;
        let slot = slot.map_err(|_| (io::ErrorKind::Other, "no names are looked up any more".to_owned()))?;
        let found = tokio::task::spawn_blocking(move || {
            // Kept until the name server has answered, also if nobody waits for that any more.
            let _slot = slot;
            ask(&name)
        });
        match found.await {
            Ok(found) => found.map_err(told),
            Err(error) => Err((io::ErrorKind::Other, error.to_string())),
        }
    };
    let asked: Asking = Box::pin(asked);
    asked.shared()
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
            let found = found.await.map_err(Unresolved)?;
            if found.is_empty() {
                return Err(Unresolved(io::ErrorKind::NotFound.into()).into());
            }
            let allowed: Vec<SocketAddr> = found
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// A name server that is slow, and says of which names there are none.
    fn slow(name: &str) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        NOW.fetch_sub(1, Ordering::SeqCst);
        match name.starts_with("dead") {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(vec![([192, 0, 2, 1], 0).into()]),
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_by_few_threads_and_each_once_at_a_time() {
        let lookup = limited(slow);
        let asks = (0..200).map(|number| {
            let lookup = lookup.clone();
            async move {
                let name = format!(
                    "{}{}.example",
                    if number % 2 == 0 { "dead" } else { "live" },
                    number % 60
                );
                let patience = Duration::from_millis(if number % 3 == 0 { 20 } else { 20_000 });
                let found = tokio::time::timeout(patience, lookup(name)).await;
                found.ok().map(|found| found.is_ok() == (number % 2 == 1))
            }
        });
        let found = futures_util::future::join_all(asks).await;
        assert!(found.iter().flatten().all(|right| *right));
        assert!(found.iter().flatten().count() > 100);
        assert!(MOST.load(Ordering::SeqCst) <= 32, "{MOST:?}");
        assert!(ASKED.load(Ordering::SeqCst) <= 60 * 2, "{ASKED:?}");
        // An answer is no cache.
        let before = ASKED.load(Ordering::SeqCst);
        lookup("live1.example".to_owned()).await.expect("found");
        assert_eq!(ASKED.load(Ordering::SeqCst), before + 1);
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
