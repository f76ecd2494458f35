//! The endpoints as they are at the moment, ready for use: what the dispatcher asks and what each
//! deliverer works by. The store has the truth; this follows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Notify, watch};
use url::Url;

use super::address::UrlFault;
use super::endpoint::{AGENT_PLACEHOLDER, EndpointFault, EndpointRecord, EndpointState, public_url, url_for};
use super::filter::Wants;
use super::secret::{Secrets, SigningKey};
use super::sign::signatures;
use crate::base::{DeliveryId, EndpointId, Timestamp};
use crate::store::TaskKey;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SECRET_TOKEN: HeaderName = HeaderName::from_static("x-telegram-bot-api-secret-token");

/// How many letters an inbox holds; a deliverer that is this far behind reads its lane anew.
const INBOX_LIMIT: usize = 10_000;

/// An endpoint, ready for use.
pub(super) struct Live {
    pub record: EndpointRecord,
    pub wants: Wants,
    /// Whether only sessions of agents have a place in the URL.
    pub needs_agent: bool,
    /// The URL, unless it has a placeholder.
    url: Option<Url>,
    /// The headers that are the same on every try.
    headers: HeaderMap,
    signing: SigningKey,
    /// The keys that sign only until then.
    retiring: Vec<(SigningKey, Timestamp)>,
}

impl Live {
    /// Makes an endpoint ready.
    pub fn new(record: EndpointRecord, secrets: &Secrets) -> Result<Self, EndpointFault> {
        let needs_agent = record.url.contains(AGENT_PLACEHOLDER);
        let parse =
            |text: &str| Url::parse(text).map_err(|error| EndpointFault::Url(UrlFault::Unparsable(error)));
        let url = match needs_agent {
            true => None,
            false => Some(parse(&record.url)?),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(bearer) = &secrets.bearer {
            headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", bearer.expose()))?);
        }
        if let Some(token) = &secrets.secret_token {
            headers.insert(SECRET_TOKEN, sensitive(token.expose())?);
        }
        Ok(Self {
            wants: record.wants()?,
            needs_agent,
            url,
            headers,
            signing: secrets.key(),
            retiring: secrets.retiring_keys(),
            record,
        })
    }

    /// Whether deliveries are made.
    pub fn is_active(&self) -> bool {
        self.record.state == EndpointState::Active
    }

    /// Where a delivery goes; none if it needs an agent and there is none.
    pub fn url(&self, agent_id: Option<i64>) -> Option<Url> {
        match &self.url {
            Some(url) => Some(url.clone()),
            None => Url::parse(&url_for(&self.record.url, Some(agent_id?))).ok(),
        }
    }

    /// The same, as the log of attempts shows it.
    pub fn public_url(&self, agent_id: Option<i64>) -> String {
        url_for(public_url(&self.record.url), agent_id).into_owned()
    }

    /// The headers of a try at this time.
    pub fn headers(&self, id: DeliveryId, body: &[u8], now: Timestamp) -> HeaderMap {
        let id = id.to_string();
        let retiring = self.retiring.iter().filter(|(_, until)| now < *until);
        let keys = std::iter::once(&self.signing).chain(retiring.map(|(key, _)| key));
        let keys = keys.map(|key| key.as_slice());
        let signature = signatures(keys, &id, now.as_secs(), body);
        let mut headers = self.headers.clone();
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now.as_secs()));
        for (name, value) in [(WEBHOOK_ID, id), (WEBHOOK_SIGNATURE, signature)] {
            let value = HeaderValue::try_from(value).expect("ids and base64 are visible ASCII");
            headers.insert(name, value);
        }
        headers
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, EndpointFault> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| EndpointFault::Field("a token must be printable ASCII"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// News for a deliverer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// A task has come, due then.
    Came(TaskKey, Timestamp),
    /// Somebody wants it tried now.
    Hasten(TaskKey),
}

/// What a deliverer is told, without a limit on how slow it may be.
#[derive(Default)]
pub(super) struct Inbox {
    letters: Mutex<Letters>,
    bell: Notify,
}

#[derive(Default)]
pub(super) struct Letters {
    /// In the order in which they came.
    pub letters: Vec<Letter>,
    /// Whether some were dropped, so that the lane has to be read anew.
    pub overflow: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts letters in.
    pub fn put(&self, new: impl IntoIterator<Item = Letter>) {
        let mut letters = self.lock();
        letters.letters.extend(new);
        if letters.letters.len() > INBOX_LIMIT {
            *letters = Letters {
                letters: Vec::new(),
                overflow: true,
            };
        }
        drop(letters);
        self.bell.notify_one();
    }

    /// Takes all letters out.
    pub fn take(&self) -> Letters {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until there may be letters.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

/// An endpoint's place: what it is now, and its deliverer's inbox. It outlives the deliverer.
pub(super) struct Seat {
    pub id: EndpointId,
    pub live: watch::Sender<Arc<Live>>,
    pub inbox: Inbox,
}

/// All endpoints.
#[derive(Default)]
pub(super) struct Registry {
    seats: RwLock<HashMap<EndpointId, Arc<Seat>>>,
}

impl Registry {
    /// Puts an endpoint in, or the new form of one that is there.
    pub fn put(&self, live: Live) -> Arc<Seat> {
        let id = live.record.id;
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.get(&id) {
            seat.live.send_replace(Arc::new(live));
            return seat.clone();
        }
        let seat = Arc::new(Seat {
            id,
            live: watch::Sender::new(Arc::new(live)),
            inbox: Inbox::default(),
        });
        seats.insert(id, seat.clone());
        seat
    }

    /// Takes an endpoint out.
    pub fn remove(&self, id: EndpointId) {
        self.seats
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// An endpoint.
    pub fn get(&self, id: EndpointId) -> Option<Arc<Seat>> {
        self.seats
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// All endpoints.
    pub fn all(&self) -> Vec<Arc<Seat>> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        seats.values().cloned().collect()
    }
}
