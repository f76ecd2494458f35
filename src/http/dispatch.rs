//! One request from its head to its answer: route, key, scope, session, body, work, log line, metric.
//!
//! What a row declares is enforced here, so that no handler can forget it. What is cheap to refuse is refused first: no
//! body is read for a caller who may not send one. A handler that panics or hangs costs its own request, nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Body as HttpBody;
use hyper::header::{
    ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, HeaderName,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use tracing::{Instrument, Level};

use super::Api;
use super::answer::{Body, header, json};
use super::binding::{self, Target};
use super::call::Call;
use super::config::HttpConfig;
use super::failure::Failure;
use super::idempotency::{self, Once};
use super::route::Route;
use super::router::{Found, Router};
use super::tasks::{Cut, Tasks};
use super::texts::Language;
use super::upgrade::Upgrade;
use crate::access::Principal;
use crate::base::{Category, Code, Coded};

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
    /// The handlers at work.
    pub tasks: Tasks,
}

impl Service {
    /// What answers the requests of a table.
    pub fn new(api: Arc<Api>, router: Router, config: HttpConfig) -> Self {
        Self {
            api,
            router,
            config,
            tasks: Tasks::default(),
        }
    }

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
            let failure = result.as_ref().err().cloned();
            let response = result.unwrap_or_else(|failure| refusal(&failure, language, &id));
            let status = response.status().as_u16();
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            // The only line of a request, whatever came of it: an error that is caught on the way is no news.
            let code = failure.as_ref().map(|failure| failure.code);
            let told = code.map(Code::as_str);
            let cause = failure.and_then(|failure| failure.cause);
            match code.map(log_level) {
                Some(Level::ERROR) => {
                    tracing::error!(%method, route = pattern, status, code = told, cause, millis, "answered");
                }
                Some(Level::WARN) => {
                    tracing::warn!(%method, route = pattern, status, code = told, cause, millis, "answered");
                }
                None if method.is_safe() => {
                    tracing::debug!(%method, route = pattern, status, millis, "answered");
                }
                _ => tracing::info!(%method, route = pattern, status, code = told, cause, millis, "answered"),
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
        let (head, body) = request.into_parts();
        match self.router.find(&head.method, head.uri.path()) {
            Ok(found) => (found.route.path, self.work(found, head, body, id, language).await),
            Err(failure) => ("none", Err(failure)),
        }
    }

    /// Has a request that found its row carried out as the row declares.
    async fn work<B>(
        &self,
        found: Found<'_>,
        mut head: Parts,
        body: B,
        id: &str,
        language: Language,
    ) -> Result<Response<Body>, Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let route = found.route;
        let query = head.uri.query().unwrap_or("");
        let caller = self.admit(route, &head.headers, query).await?;
        match route.query {
            Some(form) => (form.check)(query)?,
            None if query.is_empty() => {}
            None => return Err(Failure::invalid("this route takes no query")),
        }
        let key = idempotency::key(route, &head.headers)?;
        let mut call = Call {
            api: self.api.clone(),
            caller,
            params: found.params,
            query: query.to_owned(),
            from: head.extensions.get::<CallerAddress>().map(|address| address.0),
            request: id.to_owned(),
            language,
            file: None,
            upgrade: Upgrade::of(&mut head.extensions).filter(|_| head.method == Method::GET),
            target: Ok(Target::None),
            effect: None,
            headers: head.headers,
        };
        binding::resolve(route, &mut call)?;
        let (bytes, file) = self.take_body(route, &call.headers, body).await?;
        call.file = file;
        let ready = (route.handler)(&bytes)?;
        binding::resolve_body(route, &mut call, &bytes)?;
        let once = key
            .map(|key| Once::new(key, route, &call, head.uri.path(), &bytes))
            .transpose()?;
        drop(bytes);
        let work = async move {
            match once {
                Some(once) => once.carry_out(call, ready).await,
                None => ready(call).await,
            }
        };
        let limit = route.within.unwrap_or(*self.config.handler_timeout);
        let done = self.tasks.run(limit, work).await;
        done.unwrap_or_else(|cut| {
            Err(match cut {
                Cut::Panicked => Failure::internal("the handler panicked"),
                Cut::TooLong => Failure::unavailable("the handler took too long"),
                Cut::Stopped => Failure::unavailable("the listener has ended"),
            })
        })
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
}

/// Handlers do not outlive the listener, whatever ends it.
impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.end();
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

/// How loud the log says that a request failed. A session that is away is told elsewhere, and its callers ask often.
fn log_level(code: Code) -> Level {
    match code.category() {
        Category::Internal => Level::ERROR,
        Category::Unavailable if code != Code::SessionUnavailable => Level::WARN,
        _ => Level::INFO,
    }
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
    use http_body_util::BodyExt;

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
