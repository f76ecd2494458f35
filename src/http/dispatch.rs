//! One request from its head to its answer: route, key, scope, size, form, work, log line, metric.
//!
//! What is cheap to refuse is refused first: no body is read for a caller who may not send one. A
//! handler that panics or hangs costs its own request, nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as HttpBody;
use hyper::header::{
    ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response};
use tracing::Instrument;

use super::Api;
use super::answer::{Body, header, json};
use super::call::Call;
use super::config::HttpConfig;
use super::failure::Failure;
use super::impatient::cut_off;
use super::multipart;
use super::route::Route;
use super::router::Router;
use super::spool::{self, FormFile};
use super::texts::Language;
use super::upgrade::Upgrade;
use crate::access::Principal;
use crate::base::{Code, Coded};

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The address at the other end of a request's connection, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct CallerAddress(pub IpAddr);

/// What answers requests.
pub struct Service {
    /// The handles of the domains.
    pub api: Arc<Api>,
    /// The table.
    pub router: Router,
    /// Limits.
    pub config: HttpConfig,
}

impl Service {
    /// Answers a request, whatever it is.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let id = request_id(request.headers());
        let method = request.method().clone();
        let language = Language::choose(
            request
                .headers()
                .get(ACCEPT_LANGUAGE)
                .and_then(|value| value.to_str().ok()),
            self.config.language,
        );
        let span = tracing::info_span!("request", request = %id);
        let (pattern, mut response) = async {
            let (pattern, result) = self.carry_out(request, &id, language).await;
            let response = match result {
                Ok(response) => response,
                Err(failure) => refusal(&failure, language, &id),
            };
            let status = response.status().as_u16();
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            if method.is_safe() && status < 400 {
                tracing::debug!(%method, route = pattern, status, millis, "answered");
            } else {
                tracing::info!(%method, route = pattern, status, millis, "answered");
            }
            (pattern, response)
        }
        .instrument(span)
        .await;
        metrics::histogram!(
            "trunkline_http_seconds",
            "route" => pattern,
            "class" => class(response.status().as_u16())
        )
        .record(began.elapsed().as_secs_f64());
        header(&mut response, REQUEST_ID, &id);
        if !response.headers().contains_key(CACHE_CONTROL) {
            header(&mut response, CACHE_CONTROL, "no-store");
        }
        response
    }

    /// The pattern of the route, for log and metric, and what came of the request.
    async fn carry_out<B>(
        &self,
        request: Request<B>,
        id: &str,
        language: Language,
    ) -> (&'static str, Result<Response<Body>, Failure>)
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        let found = match self.router.find(&head.method, head.uri.path()) {
            Ok(found) => found,
            Err(failure) => return ("none", Err(failure)),
        };
        let route = found.route;
        let query = head.uri.query().unwrap_or("");
        let caller = match self.admit(route, &head.headers, query).await {
            Ok(caller) => caller,
            Err(failure) => return (route.path, Err(failure)),
        };
        if route.query.is_none() && !query.is_empty() {
            let failure = Failure::invalid("this route takes no query");
            return (route.path, Err(failure));
        }
        let (bytes, file) = match self.take_body(route, &head.headers, body).await {
            Ok(taken) => taken,
            Err(failure) => return (route.path, Err(failure)),
        };
        let call = Call {
            api: self.api.clone(),
            caller,
            params: found.params,
            query: query.to_owned(),
            headers: head.headers,
            from: head.extensions.get::<CallerAddress>().map(|address| address.0),
            request: id.to_owned(),
            language,
            file,
            upgrade: Upgrade::of(&mut head.extensions).filter(|_| head.method == Method::GET),
        };
        // A task of its own, so that work of several steps is not left half done when the caller hangs up. It
        // is no loose end: it lasts as long as a handler may.
        let handler = route.handler.clone();
        let limit = *self.config.handler_timeout;
        let work = async move { tokio::time::timeout(limit, handler(call, bytes)).await };
        let result = match tokio::spawn(work.in_current_span()).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                tracing::warn!(route = route.path, "a handler took too long");
                Err(Failure::new(Code::Unavailable))
            }
            Err(_) => {
                tracing::error!(route = route.path, "a handler panicked");
                Err(Failure::new(Code::Internal))
            }
        };
        (route.path, result)
    }

    /// Who asks, if a key is needed, and whether it may.
    async fn admit(
        &self,
        route: &Route,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Option<Principal>, Failure> {
        let Some(scope) = route.scope else {
            return Ok(None);
        };
        let ticket = || {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == "ticket")
        };
        let caller = match presented(headers) {
            Some(key) => match self.api.access.authenticate(key).await {
                Err(error) if route.unrecognised && error.code() == Code::StoreUnavailable => {
                    return Ok(None);
                }
                caller => caller?,
            },
            None => match ticket().filter(|_| route.ticket) {
                Some((_, ticket)) => self.api.access.redeem(&ticket)?,
                None => return Err(Failure::new(Code::Unauthorized)),
            },
        };
        if !caller.may(scope) {
            return Err(Failure::new(Code::Forbidden).detail("scope", scope.as_str()));
        }
        Ok(Some(caller))
    }

    /// The body as JSON, and the file if it comes as a form with one.
    async fn take_body<B>(
        &self,
        route: &Route,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(Bytes, Option<FormFile>), Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match (route.form, kind.and_then(multipart::boundary)) {
            (Some(numbers), Some(boundary)) => {
                let data = &self.api.store.config().folder;
                Box::pin(spool::receive((data, &self.config), &boundary, numbers, body)).await
            }
            _ => Ok((self.read_body(headers, body).await?, None)),
        }
    }

    /// The body, if it is small enough, quick enough and JSON.
    async fn read_body<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limit = self.config.max_body_bytes;
        let too_large = || Failure::new(Code::BodyTooLarge).detail("limit", limit);
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        if headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| !is_json(value.as_bytes()))
        {
            return Err(Failure::new(Code::UnsupportedMediaType));
        }
        let collected = tokio::time::timeout(*self.config.body_timeout, Limited::new(body, limit).collect())
            .await
            .map_err(|_| {
                cut_off("body");
                Failure::new(Code::RequestTimeout)
            })?;
        match collected {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
            Err(_) => Err(Failure::invalid("the body ended early")),
        }
    }
}

/// The answer to a request that failed.
pub fn refusal(failure: &Failure, language: Language, id: &str) -> Response<Body> {
    let mut response = json(failure.status(), &failure.body(language, id))
        .unwrap_or_else(|_| Response::new(super::answer::full(Bytes::new())));
    *response.status_mut() = failure.status();
    header(&mut response, CONTENT_LANGUAGE, language.tag());
    if let Some(seconds) = failure.retry_seconds() {
        header(&mut response, RETRY_AFTER, &seconds.to_string());
    }
    if let Some(methods) = &failure.allow {
        header(&mut response, ALLOW, methods);
    }
    if failure.code == Code::Unauthorized {
        header(&mut response, WWW_AUTHENTICATE, "Bearer");
    }
    if matches!(failure.code, Code::BodyTooLarge | Code::RequestTimeout) {
        // The rest of the body is not read: whoever sent it must not use the connection again.
        header(&mut response, CONNECTION, "close");
    }
    response
}

/// The key of a request: `X-API-Key`, or `Authorization: Bearer`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get("x-api-key") {
        return value.to_str().ok().map(str::trim);
    }
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The name that the caller gave the request, if it can stand in a log, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |text: &&str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match given.filter(fits) {
        Some(text) => text.to_owned(),
        None => format!("req_{}", ulid::Ulid::new().to_string().to_lowercase()),
    }
}

fn is_json(value: &[u8]) -> bool {
    let kind = value.split(|byte| *byte == b';').next().unwrap_or(value);
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn the_key_is_taken_from_either_header() {
        assert_eq!(presented(&headers(&[("x-api-key", "k")])), Some("k"));
        assert_eq!(presented(&headers(&[("authorization", "bearer k")])), Some("k"));
        assert_eq!(presented(&headers(&[("authorization", "Basic k")])), None);
        assert_eq!(presented(&headers(&[])), None);
    }

    #[test]
    fn a_request_is_named_by_its_caller_only_if_a_log_can_show_it() {
        assert_eq!(request_id(&headers(&[("x-request-id", "a-1.B_2")])), "a-1.B_2");
        for wrong in ["", "a b", "a\tb", &"x".repeat(65), "a\"b"] {
            let id = request_id(&headers(&[("x-request-id", wrong)]));
            assert!(id.starts_with("req_"), "{wrong}");
        }
    }

    #[test]
    fn json_may_name_its_charset() {
        assert!(is_json(b"application/json") && is_json(b"Application/JSON; charset=utf-8"));
        assert!(!is_json(b"application/x-www-form-urlencoded") && !is_json(b"text/json"));
    }

    #[tokio::test]
    async fn a_refusal_says_all_it_has_to() {
        let mut failure = Failure::new(Code::MethodNotAllowed);
        failure.allow = Some("GET, POST".to_owned());
        let response = refusal(&failure, Language::Fa, "r1");
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, POST");
        assert_eq!(response.headers()[CONTENT_LANGUAGE], "fa");
        let response = refusal(&Failure::new(Code::TooBusy), Language::En, "r1");
        assert!(response.headers().contains_key(RETRY_AFTER));
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(body["code"], "TOO_BUSY");
    }
}
