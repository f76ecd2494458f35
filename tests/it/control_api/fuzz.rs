//! Every route of the document, asked by chance: what the schema wants, or nearly; by whoever has a key, or none; many at
//! once. Nothing breaks, nothing secret is answered.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value, json};
use trunkline::access::Scope;
use trunkline::model::SessionState;

use super::caller::{Caller, id, meet};
use crate::stage::{Stage, state};

/// Requests that are sent in turn, and how many at once.
const ROUNDS: usize = 60;
const AT_ONCE: usize = 8;

/// The codes of 5xx that say something true: a session or a receiver is away.
const AWAY: [&str; 9] = [
    "SESSION_UNAVAILABLE",
    "RECEIVER_REFUSED",
    "RECEIVER_UNREACHABLE",
    "RECEIVER_UNRESOLVED",
    "RECEIVER_CONNECTION_REFUSED",
    "RECEIVER_CERTIFICATE",
    "RECEIVER_TLS",
    "RECEIVER_ANSWER_INVALID",
    "TOO_BUSY",
];

/// What a value is made of.
struct Dice<'a> {
    dice: StdRng,
    document: &'a Value,
    /// Ids of what there is, and what only looks like one.
    names: Vec<String>,
}

impl Dice<'_> {
    fn one_in(&mut self, many: u32) -> bool {
        self.dice.random_range(0..many) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.dice)
            .expect("something to choose from")
            .clone()
    }

    /// Something that no schema asks for.
    fn garbage(&mut self) -> Value {
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        self.pick(&[
            Value::Null,
            json!(true),
            json!(-1),
            json!(0),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1e308),
            json!(0.5),
            json!(""),
            json!("\u{0}\u{202e}\u{feff}"),
            json!("x".repeat(5000)),
            json!("ک".repeat(300)),
            json!("../../etc/passwd"),
            json!({}),
            json!([]),
            json!({"a": {"b": [null]}}),
            deep,
        ])
    }

    fn text(&mut self) -> Value {
        if self.one_in(2) {
            let names = self.names.clone();
            return json!(self.pick(&names));
        }
        self.pick(&[
            json!("a name"),
            json!("*"),
            json!("+999660000009"),
            json!("12345"),
            json!("2026-01-01T00:00:00Z"),
            json!("-009999-01-01T00:00:00Z"),
            json!("9999-12-30T22:00:00Z"),
            json!("http://127.0.0.1:1/x"),
            json!("https://[::ffff:7f00:1]/{agent_id}"),
            json!("http://127.0.0.1:1/{}{session_id}?a={event}"),
            json!("message.*"),
            json!("message.new"),
            json!("admin"),
            json!("(((a+)+)+$"),
        ])
    }

    /// A value of a schema, mostly.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if self.one_in(12) || depth > 8 {
            return self.garbage();
        }
        if let Some(target) = schema["$ref"].as_str() {
            let pointer = target.trim_start_matches('#');
            let schema = self
                .document
                .pointer(pointer)
                .expect("it leads somewhere")
                .clone();
            return self.value(&schema, depth + 1);
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let chosen = self.pick(choices);
                return self.value(&chosen, depth + 1);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.pick(words);
        }
        if !schema["const"].is_null() {
            return schema["const"].clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => self.pick(kinds),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => self.object(schema, depth),
            Some("array") => {
                let count = self.dice.random_range(0..4);
                (0..count)
                    .map(|_| self.value(&schema["items"], depth + 1))
                    .collect()
            }
            Some("string") => self.text(),
            Some("integer" | "number") => self.pick(&[
                json!(0),
                json!(1),
                json!(5),
                json!(-100_123),
                json!(i32::MAX),
                json!(i64::MAX),
            ]),
            Some("boolean") => json!(self.one_in(2)),
            Some("null") => Value::Null,
            _ => self.garbage(),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if self.one_in(3) && !self.one_in(4) {
                continue;
            }
            object.insert(name.clone(), self.value(schema, depth + 1));
        }
        if self.one_in(20) {
            object.insert("colour".to_owned(), self.garbage());
        }
        Value::Object(object)
    }

    /// A part of a path or a query, percent-encoded.
    fn part(&mut self) -> String {
        let names = self.names.clone();
        match self.dice.random_range(0..4) {
            0 => self
                .pick(&["%2e%2e%2f%2e%2e", "%00", "%ff%fe", "a%2Fb", "*", "%F0%9F%91%8B"])
                .to_owned(),
            1 => "x".repeat(3000),
            _ => self.pick(&names),
        }
    }

    /// A path of a route, and its query.
    fn path(&mut self, pattern: &str, operation: &Value) -> String {
        let mut path = String::new();
        for segment in pattern.split('/').skip(1) {
            path.push('/');
            match segment.starts_with('{') {
                true => path.push_str(&self.part()),
                false => path.push_str(segment),
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" && self.one_in(2) {
                let value = match self.dice.random_range(0..3) {
                    0 => self.part(),
                    _ => self
                        .pick(&["1", "200", "0", "-1", "all", "webhook", "2026-01-01T00:00:00Z"])
                        .to_owned(),
                };
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(&format!(
                    "{}={value}",
                    parameter["name"].as_str().expect("a name")
                ));
            }
        }
        path
    }

    /// A body: what the schema wants, its beginning, or none.
    fn body(&mut self, operation: &Value) -> Option<String> {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() && !self.one_in(10) || self.one_in(20) {
            return None;
        }
        let mut text = self.value(schema, 0).to_string();
        if self.one_in(10) {
            let kept = self.dice.random_range(0..20);
            text = text.chars().take(kept).collect();
        }
        Some(text)
    }
}

/// A request and what came of it.
struct Asked {
    what: String,
    as_reader: bool,
    status: u16,
    body: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_breaks_anything_or_is_told_a_secret() {
    let stage = Stage::new().await;
    let ann = stage.user("+989124171717", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage
        .daemon_with(|config| {
            config.webhook.allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")]
        })
        .await;
    let session = stage.log_in(&daemon, "+989124171717").await;
    meet(&stage, &daemon, ann, bob).await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let callers = [
        Caller::new(&daemon, Scope::Admin, None).await,
        Caller::new(&daemon, Scope::Manage, None).await,
        Caller::new(&daemon, Scope::Send, Some(&[session])).await,
        Caller::new(&daemon, Scope::Read, None).await,
        Caller::with_key(&daemon, "tlk_nobody").await,
    ];
    let reader = &callers[3];
    let endpoint = json!({
        "url": "http://127.0.0.1:1/hook?token=secret-of-the-url", "events": ["session.*"],
        "bearer": "bearer-of-the-endpoint", "secret_token": "token-of-the-endpoint",
    });
    let endpoint = admin.post("/api/webhooks/endpoints", endpoint).await.ok();
    let signing = endpoint["secret"].as_str().expect("a secret").to_owned();

    let mut secrets: Vec<String> = callers[..4].iter().map(|caller| caller.key.clone()).collect();
    secrets.push(admin.key.clone());
    secrets.push(signing);
    secrets.extend(["bearer-of-the-endpoint", "token-of-the-endpoint"].map(str::to_owned));
    let document = trunkline::http::document();
    let routes: Vec<(Method, String, Value)> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .expect("methods")
                .iter()
                .map(|(method, operation)| {
                    let method = method.to_ascii_uppercase().parse().expect("a method");
                    (method, path.clone(), operation.clone())
                })
        })
        .collect();
    let mut dice = Dice {
        dice: StdRng::seed_from_u64(41),
        document: &document,
        names: vec![
            session.to_string(),
            "ses_01jbz4c9v7q4w0y3d8f6k2m5n7".to_owned(),
            "pair_01jbz4c9v7q4w0y3d8f6k2m5n7".to_owned(),
            "f81d4fae-7dec-41d0-a765-00a0c91e6bf6".to_owned(),
            bob.to_string(),
            id(&endpoint),
        ],
    };
    for round in 0..ROUNDS {
        let mut asked = Vec::new();
        for _ in 0..AT_ONCE {
            let (method, pattern, operation) = dice.pick(&routes);
            let path = dice.path(&pattern, &operation);
            let body = dice.body(&operation);
            let caller = &callers[dice.dice.random_range(0..callers.len())];
            let mut request = caller.request(method.clone(), &path);
            if dice.one_in(4) {
                request = request.header("idempotency-key", dice.pick(&["one", "two", "three"]));
            }
            let what = format!("{method} {path} {body:?}");
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body);
            }
            let as_reader = std::ptr::eq(caller, reader);
            asked.push(async move {
                let response = request.send().await.expect("an answer");
                let status = response.status().as_u16();
                let body = response.bytes().await.expect("a whole answer");
                let body = String::from_utf8_lossy(&body).into_owned();
                Asked {
                    what,
                    as_reader,
                    status,
                    body,
                }
            });
        }
        for asked in futures_util::future::join_all(asked).await {
            check(&asked, &secrets, round);
            if asked.status == 201 && dice.names.len() < 40 {
                let made: Value = serde_json::from_str(&asked.body).expect("JSON");
                dice.names.push(id(&made));
            }
        }
    }
    assert!(admin.get("/health").await.ok()["checks"]["store"]["status"] == "ok");
    let metrics = admin
        .request(Method::GET, "/metrics")
        .send()
        .await
        .expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("trunkline_restarts_total"))
    {
        assert!(line.ends_with(" 0"), "something crashed: {line}");
    }
    // Whatever was done to it, it is in a state that somebody asked for.
    if daemon.handles.telegram.view(session).is_ok() {
        assert_ne!(state(&daemon, session), SessionState::Quarantined);
    }
}

fn check(asked: &Asked, secrets: &[String], round: usize) {
    let Asked {
        what,
        as_reader,
        status,
        body,
    } = asked;
    if *status >= 400 {
        let answer: Value =
            serde_json::from_str(body).unwrap_or_else(|_| panic!("round {round}: {what}: {body}"));
        let code = answer["code"].as_str().expect("a code");
        assert!(
            *status < 500 || AWAY.contains(&code),
            "round {round}: {what}: {status} {body}"
        );
        assert_eq!(answer["success"], false, "round {round}: {what}");
    }
    for secret in secrets {
        assert!(
            !body.contains(secret.as_str()),
            "round {round}: {what} is told a secret"
        );
    }
    for secret in ["989124171717", "secret-of-the-url"] {
        let told = *as_reader && body.contains(secret);
        assert!(!told, "round {round}: {what}: a reader is told {secret}");
    }
}
