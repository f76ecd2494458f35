//! `Idempotency-Key` as callers meet it: with routes of the test, and with every POST of the daemon.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::HeaderValue;

use super::*;
use crate::base::{Code, PairId};
use crate::http::table::table;

/// How often the handler of `/count` has run.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Whether the handler of `/slow` is at work, and whether it may end.
static SLOW: AtomicBool = AtomicBool::new(false);
static SLOW_MAY_END: AtomicBool = AtomicBool::new(false);

#[derive(Serialize, JsonSchema)]
struct Made {
    id: Option<String>,
    count: u32,
    key: String,
}

async fn count(call: Call, word: Word) -> Result<Json<Made>, Failure> {
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    match word.word.as_str() {
        "busy" => Err(Failure::new(Code::TooBusy)),
        "limited" => Err(Failure::new(Code::RateLimited)),
        "wrong" => Err(Failure::invalid("the word is wrong")),
        "spent" => Err(Failure::new(Code::PasswordHashInvalid)),
        "panic" => panic!("a bug of this test"),
        word => Ok(Json(Made {
            id: call.new_id(PairId::from_bytes).map(|id| id.to_string()),
            count,
            key: format!("the secret of {word}"),
        })),
    }
}

fn rows() -> Vec<Route> {
    let row = |path| route("test", Method::POST, path, "A route of the test");
    vec![
        row("/count").of(Binding::Own).creates().takes(count),
        row("/count/{id}").of(Binding::Own).creates().takes(count),
        row("/secret")
            .of(Binding::Own)
            .creates()
            .reveals(&["key"])
            .takes(count),
        row("/slow").of(Binding::Own).run(async |_: Call| {
            SLOW.store(true, Ordering::SeqCst);
            until("released", async || SLOW_MAY_END.load(Ordering::SeqCst)).await;
            Ok::<_, Failure>(Json(COUNT.fetch_add(1, Ordering::SeqCst)))
        }),
    ]
}

/// A daemon's routes without a connection, so that a header may hold anything.
struct Orders {
    service: Service,
    sender: String,
    other: String,
    _keep: (tempfile::TempDir, crate::store::OpenStore),
}

#[derive(Debug, PartialEq)]
struct Got {
    status: u16,
    replayed: bool,
    retry_after: Option<String>,
    body: Value,
}

impl Got {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

impl Orders {
    async fn new(rows: Vec<Route>) -> Self {
        let (api, keep) = crate::http::fixture::api();
        let sender = crate::http::fixture::key(&api, Scope::Admin).await;
        let other = crate::http::fixture::key(&api, Scope::Admin).await;
        let router = Router::new(rows).expect("distinct rows");
        Self {
            service: Service::new(Arc::new(api), router, HttpConfig::default()),
            sender,
            other,
            _keep: keep,
        }
    }

    async fn post_as(&self, key: &str, path: &str, names: &[&[u8]], body: &str) -> Got {
        let mut request = Request::post(path).header("x-api-key", key);
        for name in names {
            let value = HeaderValue::from_bytes(name).expect("bytes of a header");
            request = request.header("idempotency-key", value);
        }
        let body = Full::new(bytes::Bytes::from(body.to_owned()));
        let answer = self.service.answer(request.body(body).expect("a request")).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("an answer").to_bytes();
        let text = |name: &str| {
            head.headers
                .get(name)
                .map(|value| value.to_str().expect("text").to_owned())
        };
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if head.status.is_client_error() {
            assert_eq!(body["request_id"].as_str(), text("x-request-id").as_deref());
        }
        Got {
            status: head.status.as_u16(),
            replayed: text("idempotent-replayed").is_some(),
            retry_after: text("retry-after"),
            body,
        }
    }

    async fn post(&self, path: &str, name: &str, body: &str) -> Got {
        self.post_as(&self.sender, path, &[name.as_bytes()], body).await
    }
}

fn word(word: &str) -> String {
    json!({ "word": word }).to_string()
}

#[tokio::test]
async fn a_repeat_is_given_the_answer_of_the_first() {
    let desk = Orders::new(rows()).await;
    let first = desk.post("/count", "n1", &word("a")).await;
    assert_eq!((first.status, first.replayed), (201, false));
    assert!(
        first.body["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("pair_"))
    );
    for written in [
        r#"{"word":"a"}"#,
        " {\"word\" : \"a\"}\n",
        "\u{feff}{\"word\":\"a\"}",
    ] {
        let again = desk.post("/count", "n1", written).await;
        assert_eq!((again.status, again.replayed), (201, true), "{written:?}");
        assert_eq!(again.body, first.body);
    }
    let other = desk.post("/count", "n1", &word("b")).await;
    assert_eq!(other.code(), (409, "IDEMPOTENCY_KEY_REUSED"));
    // Another caller, another route and another name are other requests; another path of the route is no repeat.
    let theirs = desk
        .post_as(&desk.other, "/count", &[&b"n1"[..]], &word("b"))
        .await;
    assert_eq!((theirs.status, theirs.replayed), (201, false));
    assert_eq!(desk.post("/count/7", "n1", &word("b")).await.status, 201);
    let elsewhere = desk.post("/count/8", "n1", &word("b")).await;
    assert_eq!(elsewhere.code(), (409, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(desk.post("/count", "n2", &word("b")).await.status, 201);
    let nameless = desk.post_as(&desk.sender, "/count", &[], &word("a")).await;
    assert_eq!((nameless.status, nameless.body["id"].is_null()), (201, true));
}

#[tokio::test]
async fn what_may_be_otherwise_next_time_is_not_given_again() {
    let desk = Orders::new(rows()).await;
    let before = COUNT.load(Ordering::SeqCst);
    for (at, passing) in ["busy", "limited", "panic"].into_iter().enumerate() {
        for _ in 0..2 {
            let got = desk.post("/count", passing, &word(passing)).await;
            assert!(!got.replayed && got.status >= 429, "{got:?}");
        }
        assert!(COUNT.load(Ordering::SeqCst) >= before + 2 * (at as u32 + 1));
    }
    // Whoever does not know what was done may not ask for something else; what was refused may be mended.
    let other = desk.post("/count", "panic", &word("a")).await;
    assert_eq!(other.code(), (409, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(
        desk.post("/count", "m", &word("wrong")).await.code(),
        (400, "INVALID_REQUEST")
    );
    assert_eq!(desk.post("/count", "m", &word("mended")).await.status, 201);
    assert_eq!(
        desk.post("/count", "l", &word("limited")).await.code(),
        (429, "RATE_LIMITED")
    );
    assert_eq!(desk.post("/count", "l", &word("mended")).await.status, 201);
    // What was spent is not spent again.
    let spent = desk.post("/count", "s", &word("spent")).await;
    let again = desk.post("/count", "s", &word("spent")).await;
    assert_eq!((spent.replayed, again.replayed), (false, true));
    assert_eq!(spent.code(), again.code());
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let desk = Orders::new(rows()).await;
    let first = desk.post("/secret", "n1", &word("a")).await;
    assert_eq!(
        (first.status, &first.body["key"]),
        (201, &json!("the secret of a"))
    );
    let again = desk.post("/secret", "n1", &word("a")).await;
    assert_eq!((again.status, again.replayed), (200, true));
    let mut rest = first.body.clone();
    let fields = rest.as_object_mut().expect("an object");
    fields.remove("key");
    fields.insert("secret_shown".to_owned(), true.into());
    assert_eq!(again.body, rest);
}

#[tokio::test]
async fn a_repeat_of_one_that_runs_is_told_to_wait() {
    let desk = Orders::new(rows()).await;
    let meanwhile = async {
        until("it is at work", async || SLOW.load(Ordering::SeqCst)).await;
        let got = desk.post("/slow", "n1", "").await;
        assert_eq!(got.code(), (409, "IDEMPOTENCY_IN_PROGRESS"));
        assert_eq!(got.retry_after.as_deref(), Some("1"));
        assert_eq!(got.body["retry_after"], 1);
        SLOW_MAY_END.store(true, Ordering::SeqCst);
    };
    let (first, ()) = tokio::join!(desk.post("/slow", "n1", ""), meanwhile);
    let again = desk.post("/slow", "n1", "[]").await;
    assert_eq!((again.replayed, again.body), (true, first.body));
}

#[tokio::test]
async fn no_post_of_the_daemon_passes_by_a_key_that_is_none() {
    let desk = Orders::new(table()).await;
    let wrong: [&[&[u8]]; 6] = [
        &["سفارش-1".as_bytes()],
        &[b""],
        &[b"a b"],
        &[b"\xff"],
        &[&[b'x'; 256]],
        &[b"one", b"two"],
    ];
    let mut asked = 0;
    for route in table() {
        if route.method != Method::POST {
            continue;
        }
        assert!(
            route.scope.is_some(),
            "{}: whose request would it be?",
            route.path
        );
        let mut generator = schemars::SchemaGenerator::default();
        assert_eq!(
            (route.answer)(&mut generator).0,
            "application/json",
            "{}",
            route.path
        );
        let path = route.path.replace(['{', '}'], "");
        for names in wrong {
            let got = desk.post_as(&desk.sender, &path, names, "{}").await;
            assert_eq!(got.code(), (400, "INVALID_REQUEST"), "{path} {names:?}");
            assert_eq!(got.body["details"]["field"], "Idempotency-Key", "{path}");
            asked += 1;
        }
        // One that is none of these is no reason to refuse.
        let got = desk
            .post_as(&desk.sender, &path, &[b"order-4711"], "\"no body\"")
            .await;
        assert_ne!(got.body["details"]["field"], "Idempotency-Key", "{path}: {got:?}");
    }
    assert!(asked > 100, "{asked}");
}
