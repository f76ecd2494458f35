//! `Idempotency-Key`, for every POST: what it says, which answers are given again, and in which form.
//!
//! The rules stand here, the memory in `access`. An answer is kept before it is given: whoever has it can ask for it
//! again. If it cannot be kept it is given all the same, and a repeat is carried out again under the same effect.

use http_body_util::BodyExt;
use hyper::header::HeaderName;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;

use super::answer::{Body, JSON, full, header, typed};
use super::body::{is_nothing, meaning};
use super::call::Call;
use super::failure::Failure;
use super::route::{Ready, Route};
use crate::access::{Begun, IdempotencyKey, Kept, Try};
use crate::base::Code;

/// The header in which a caller names a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that is given again.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The field that stands for the secrets of an answer that is given again.
const SECRET_SHOWN: &str = "secret_shown";

/// The key of a request, if its route honours one.
pub(super) fn key(route: &Route, headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
    if route.method != Method::POST || route.scope.is_none() {
        return Ok(None);
    }
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let wrong = |failure: Failure| failure.detail("field", "Idempotency-Key");
    if given.next().is_some() {
        return Err(wrong(Failure::invalid("Idempotency-Key is given twice")));
    }
    let key = IdempotencyKey::parse(value.as_bytes()).map_err(|error| wrong(error.into()))?;
    Ok(Some(key))
}

/// A request that its caller named.
pub(super) struct Once {
    key: IdempotencyKey,
    fingerprint: [u8; 32],
    /// Method and pattern.
    route: String,
    reveals: &'static [&'static str],
}

impl Once {
    /// The request as it came: the same again has the same path, query, body and file.
    pub fn new(
        key: IdempotencyKey,
        route: &Route,
        call: &Call,
        path: &str,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let body = canonical(body);
        let file = call.file.as_ref().map(|file| {
            let told = serde_json::json!([file.name, file.mime]).to_string();
            (told, file.spooled.digest())
        });
        let (told, digest) = file.as_ref().map_or((&b""[..], &b""[..]), |(told, digest)| {
            (told.as_bytes(), &digest[..])
        });
        let parts = [path.as_bytes(), call.query.as_bytes(), &body, told, digest];
        Ok(Self {
            fingerprint: call.api.access.requests().fingerprint(&parts)?,
            key,
            route: format!("{} {}", route.method, route.path),
            reveals: route.reveals,
        })
    }

    /// Carries it out, or gives the answer that it had.
    pub async fn carry_out(self, mut call: Call, work: Ready) -> Result<Response<Body>, Failure> {
        let requests = call.api.access.requests().clone();
        let caller = call.principal()?.clone();
        let begun = requests.begin(&caller, &self.route, &self.key, self.fingerprint);
        let attempt = match begun.await? {
            Begun::Answered(kept) => return Ok(again(&kept, &call.request)),
            Begun::Try(attempt) => attempt,
        };
        call.effect = Some(attempt.effect);
        let (language, request) = (call.language, call.request.clone());
        let result = work(call).await;
        let outcome = result.as_ref().map(Response::status);
        match fate(outcome) {
            Fate::Open => result,
            Fate::Undone => {
                if let Err(error) = attempt.forget().await {
                    tracing::warn!(%error, "a request that was refused stays known");
                }
                result
            }
            Fate::Final => match result {
                Ok(response) => self.keep(attempt, response).await,
                Err(failure) => {
                    let kept = Kept {
                        status: failure.status().as_u16(),
                        body: failure.body(language, &request).to_string(),
                    };
                    keep(attempt, &kept).await;
                    Err(failure)
                }
            },
        }
    }

    async fn keep(self, attempt: Try, response: Response<Body>) -> Result<Response<Body>, Failure> {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes);
        let bytes = bytes.map_err(|error| Failure::internal(format!("an answer ended early: {error}")))?;
        match kept(head.status, &bytes, self.reveals) {
            Some(kept) => keep(attempt, &kept).await,
            None => tracing::error!(route = self.route, "an answer is no JSON and was not kept"),
        }
        Ok(Response::from_parts(head, full(bytes)))
    }
}

async fn keep(attempt: Try, kept: &Kept) {
    if let Err(error) = attempt.keep(kept).await {
        tracing::error!(%error, "the answer to a named request was not kept");
    }
}

/// What an answer means for a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It changed something, or spent what cannot be had back: it is given again.
    Final,
    /// Nothing was done: a repeat is a new request, and may be another one.
    Undone,
    /// Nobody knows what was done: a repeat is carried out under the same effect.
    Open,
}

fn fate(outcome: Result<StatusCode, &Failure>) -> Fate {
    match outcome {
        Ok(status) if is_passing(status) => Fate::Open,
        Ok(_) => Fate::Final,
        Err(failure) if is_spent(failure.code) => Fate::Final,
        Err(failure) if failure.may_be_done => Fate::Open,
        Err(_) => Fate::Undone,
    }
}

/// Whether an answer of this status says nothing of the next one.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED)
}

/// Whether what was refused was spent by that: a try of a code or password, a login, a call with a foreign key.
fn is_spent(code: Code) -> bool {
    matches!(
        code,
        Code::PhoneCodeInvalid
            | Code::PhoneCodeExpired
            | Code::PasswordHashInvalid
            | Code::AnotherAccount
            | Code::ImportRefused
    )
}

/// The answer as a repeat gets it: without its secrets, of which a word says that they were shown. None if it is not
/// JSON.
fn kept(status: StatusCode, body: &[u8], reveals: &[&str]) -> Option<Kept> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    if reveals.is_empty() {
        return Some(Kept {
            status: status.as_u16(),
            body: String::from_utf8(body.to_vec()).ok()?,
        });
    }
    let fields = value.as_object_mut()?;
    // What was not there was not shown.
    let shown = reveals
        .iter()
        .filter(|name| fields.remove(**name).is_some_and(|value| !value.is_null()));
    if shown.count() > 0 {
        fields.insert(SECRET_SHOWN.to_owned(), true.into());
    }
    Some(Kept {
        status: StatusCode::OK.as_u16(),
        body: value.to_string(),
    })
}

/// An answer given again. A failure names the request that it is given to.
fn again(kept: &Kept, request: &str) -> Response<Body> {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let body = match serde_json::from_str::<Value>(&kept.body) {
        Ok(mut body) if status.is_client_error() => {
            body["request_id"] = request.into();
            body.to_string()
        }
        _ => kept.body.clone(),
    };
    let mut response = typed(status, JSON, full(body));
    header(&mut response, REPLAYED, "true");
    response
}

/// A body without the blanks and the order of fields that two ways of writing the same may differ in.
fn canonical(body: &[u8]) -> Vec<u8> {
    if is_nothing(body) {
        return Vec::new();
    }
    let body = meaning(body);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => value.to_string().into_bytes(),
        Err(_) => body.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::failure::status;

    #[test]
    fn no_answer_that_may_be_another_one_next_time_is_kept() {
        for code in Code::ALL {
            let failure = Failure::new(*code);
            let said = fate(Err(&failure));
            let passing = is_passing(status(*code));
            assert!(!(passing && said == Fate::Final), "{code:?}");
            assert_eq!(said == Fate::Open, code.leaves_open(), "{code:?}");
        }
        for number in 200..600 {
            let status = StatusCode::from_u16(number).expect("a status");
            let passing = matches!(number, 401 | 429 | 500..);
            assert_eq!(fate(Ok(status)) == Fate::Final, !passing, "{number}");
        }
        let mut refused = Failure::new(Code::SessionUnavailable);
        refused.may_be_done = false;
        assert_eq!(fate(Err(&refused)), Fate::Undone, "nothing was sent");
    }

    #[test]
    fn a_secret_is_not_kept() {
        let body = json!({"id": "key_1", "key": "tlk_secret"}).to_string();
        let answer = kept(StatusCode::CREATED, body.as_bytes(), &["key"]).expect("JSON");
        let shown: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(
            (answer.status, shown),
            (200, json!({"id": "key_1", "secret_shown": true}))
        );
        let none = kept(
            StatusCode::OK,
            br#"{"step":"input_code","qr_code":null}"#,
            &["qr_code"],
        );
        assert!(!none.expect("JSON").body.contains(SECRET_SHOWN));
        let written = r#"{"b":1, "a":2}"#;
        let open = kept(StatusCode::CREATED, written.as_bytes(), &[]).expect("JSON");
        assert_eq!((open.status, open.body.as_str()), (201, written));
        assert_eq!(kept(StatusCode::OK, b"text", &[]), None);
    }

    #[test]
    fn the_same_may_be_written_in_several_ways() {
        assert_eq!(
            canonical(br#" {"a":1, "b":[1,2]}"#),
            canonical(b"\xef\xbb\xbf{\"b\":[1,2],\"a\":1}\n")
        );
        assert_eq!(canonical(b""), canonical(b"[ ]"));
        assert_ne!(canonical(br#"{"a":1}"#), canonical(br#"{"a":"1"}"#));
        assert_ne!(canonical(br#"{"a":[1,2]}"#), canonical(br#"{"a":[2,1]}"#));
    }
}
