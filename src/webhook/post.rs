//! One try: a signed POST, and what came back.
//!
//! It follows no redirect, uses no proxy, reads at most the beginning of the answer, and connects
//! only to addresses that the rules allow. It decides nothing about further tries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Client;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::address::{AddressRules, Trust};
use super::attempt::{Answer, NoAnswer};
use super::resolve::{Guard, Lookup, system};
use super::schedule::parse_retry_after;
use super::trouble::why;
use crate::base::Timestamp;

/// How much of an answer is read and kept.
pub(super) const ANSWER_LIMIT: usize = 20 * 1024;

/// How long an answer's body may take after its head; what has come by then is kept.
const BODY_PATIENCE: Duration = Duration::from_secs(2);

/// How long an unused connection is kept: less than the usual receiver keeps it.
const IDLE: Duration = Duration::from_secs(4);

/// What is sent.
pub(super) struct Parcel {
    pub url: Url,
    pub trust: Trust,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Makes tries; shared by all endpoints.
pub(super) struct Postman {
    rules: Arc<AddressRules>,
    lookup: Lookup,
    timeout: Duration,
    in_flight: usize,
    /// One client for each trust and scheme, made when it is first needed.
    clients: Mutex<HashMap<(Trust, bool), Client>>,
}

impl Postman {
    pub fn new(rules: Arc<AddressRules>, timeout: Duration, in_flight: usize) -> Self {
        Self {
            rules,
            lookup: system(),
            timeout,
            in_flight,
            clients: Mutex::default(),
        }
    }

    /// How names are looked up.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Sends a parcel. The second value is how long it took.
    pub async fn post(&self, parcel: Parcel) -> (Answer, Duration) {
        let since = Instant::now();
        let answer = match tokio::time::timeout(self.timeout, self.head(parcel)).await {
            Err(_) => Answer::none(NoAnswer::Timeout),
            Ok(Err(why)) => Answer::none(why),
            Ok(Ok(response)) => {
                let patience = BODY_PATIENCE.min(self.timeout.saturating_sub(since.elapsed()));
                read(response, patience).await
            }
        };
        (answer, since.elapsed())
    }

    /// The answer's head.
    async fn head(&self, parcel: Parcel) -> Result<reqwest::Response, NoAnswer> {
        if self.rules.check(&parcel.url, parcel.trust).is_err() {
            return Err(NoAnswer::Forbidden);
        }
        let client = self
            .client(parcel.trust, parcel.url.scheme() == "https")
            .map_err(|error| {
                tracing::error!(%error, "the HTTP client cannot be made");
                NoAnswer::Unreachable
            })?;
        let request = client.post(parcel.url).headers(parcel.headers).body(parcel.body);
        request.send().await.map_err(|error| why(&error))
    }

    fn client(&self, trust: Trust, encrypted: bool) -> reqwest::Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(trust, encrypted)) {
            return Ok(client.clone());
        }
        let guard = Guard {
            lookup: self.lookup.clone(),
            rules: self.rules.clone(),
            trust,
            encrypted,
        };
        let client = Client::builder()
            .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(self.in_flight)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(guard))
            .build()?;
        clients.insert((trust, encrypted), client.clone());
        Ok(client)
    }
}

/// The status and the beginning of the body. A body that breaks off or dawdles changes nothing
/// about the status.
async fn read(mut response: reqwest::Response, patience: Duration) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| parse_retry_after(value, Timestamp::wall()));
    let mut body: Vec<u8> = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ANSWER_LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_LIMIT {
                break;
            }
        }
    };
    // cut off or not, what has come is all that is wanted
    drop(tokio::time::timeout(patience, reading).await);
    Answer {
        status: Ok(status),
        retry_after,
        text: text_of(&body),
    }
}

/// Bytes as a text of no more than the limit: what stands for a byte that is no text is longer than the byte.
fn text_of(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let end = (0..=ANSWER_LIMIT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests;
