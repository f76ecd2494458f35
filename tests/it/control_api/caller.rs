//! A caller of the API: a key and a connection.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use trunkline::access::{NewKey, Scope};
use trunkline::app::Daemon;
use trunkline::base::{Owner, SessionId};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use crate::stage::{Stage, received, until};

/// A caller with a key.
pub struct Caller {
    http: reqwest::Client,
    base: String,
    pub key: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub retry_after: Option<String>,
}

impl Answer {
    /// The body of a success.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// Status and code of a refusal, whose shape is checked.
    pub fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.body["success"], false, "{self:?}");
        assert_eq!(self.body["error"], self.body["message"], "{self:?}");
        assert!(
            self.body["request_id"].is_string() && self.body["category"].is_string(),
            "{self:?}"
        );
        assert_eq!(
            matches!(self.status, 429 | 503),
            self.retry_after.is_some(),
            "{self:?}"
        );
        (self.status, self.body["code"].as_str().expect("a code"))
    }
}

impl Caller {
    /// A caller with a new key, bound to sessions if some are named.
    pub async fn new(daemon: &Daemon, scope: Scope, sessions: Option<&[SessionId]>) -> Self {
        let new = NewKey {
            name: "story".to_owned(),
            scopes: BTreeSet::from([scope]),
            sessions: sessions.map(|bound| bound.iter().copied().collect()),
            expires_at: None,
            owner: Owner::admin(),
        };
        let (_, text) = daemon
            .handles
            .access
            .create(new, Initiator::daemon())
            .await
            .expect("a key");
        Self::with_key(daemon, text.expose()).await
    }

    /// A caller with this key.
    pub async fn with_key(daemon: &Daemon, key: &str) -> Self {
        Self::at(&format!("http://{}", daemon.api_address().await), key)
    }

    /// A caller of an API elsewhere.
    pub fn at(base: &str, key: &str) -> Self {
        // A process has one; whoever came first has installed this very one.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self {
            http: reqwest::Client::new(),
            base: base.to_owned(),
            key: key.to_owned(),
        }
    }

    /// A request to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("x-api-key", &self.key)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    /// A list's items.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        let mut body = self.get(path).await.ok();
        match body["items"].take() {
            Value::Array(items) => items,
            other => panic!("no list: {other}"),
        }
    }
}

/// Sends a request.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let header = response.headers().get("retry-after");
    Answer {
        status: response.status().as_u16(),
        retry_after: header.map(|value| value.to_str().expect("text").to_owned()),
        body: response.json().await.unwrap_or(Value::Null),
    }
}

/// The id in an answer.
pub fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// Lets an account and another meet: an account sends only to those it has seen.
pub async fn meet(stage: &Stage, daemon: &Daemon, account: i64, other: i64) {
    stage
        .world
        .world(|world| world.post(other, Peer::User(account), Draft::text("nice to meet you")))
        .expect("posted");
    until("the account has seen the other", || {
        received(daemon).contains(&"nice to meet you".to_owned())
    })
    .await;
}

/// How many messages of an author say this, in the sandbox's world.
pub fn said(stage: &Stage, author: i64, text: &str) -> usize {
    stage.world.world(|world| {
        let contents = world.contents.values();
        contents
            .filter(|content| content.author == author && content.text() == text)
            .count()
    })
}
