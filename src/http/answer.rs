//! What a handler answers, and how the table of routes describes it.

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::failure::Failure;

/// Why a streamed body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The type of every body but metrics and exports.
pub const JSON: &str = "application/json";

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What a handler answers.
pub trait Answer {
    /// The response; `status` is the one that the table names.
    fn respond(self, status: StatusCode) -> Result<Response<Body>, Failure>;

    /// Its content type and schema, for the document.
    fn describe(generator: &mut SchemaGenerator) -> (&'static str, Schema);
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> Answer for Json<T> {
    fn respond(self, status: StatusCode) -> Result<Response<Body>, Failure> {
        json(status, &self.0)
    }

    fn describe(generator: &mut SchemaGenerator) -> (&'static str, Schema) {
        (JSON, generator.subschema_for::<T>())
    }
}

/// A JSON body whose status the handler decides.
pub struct WithStatus<T>(pub StatusCode, pub T);

impl<T: Serialize + JsonSchema> Answer for WithStatus<T> {
    fn respond(self, _: StatusCode) -> Result<Response<Body>, Failure> {
        json(self.0, &self.1)
    }

    fn describe(generator: &mut SchemaGenerator) -> (&'static str, Schema) {
        (JSON, generator.subschema_for::<T>())
    }
}

/// Plain success.
#[derive(Serialize, JsonSchema)]
pub struct Done {
    success: bool,
}

impl Done {
    /// It was done.
    pub const OK: Json<Self> = Json(Self { success: true });
}

/// A text for other programs, such as metrics.
pub struct Text(pub &'static str, pub String);

impl Answer for Text {
    fn respond(self, status: StatusCode) -> Result<Response<Body>, Failure> {
        Ok(typed(status, self.0, full(self.1)))
    }

    fn describe(_: &mut SchemaGenerator) -> (&'static str, Schema) {
        ("text/plain", schemars::json_schema!({"type": "string"}))
    }
}

/// Bytes as they come.
pub struct Streamed<S>(pub S);

impl<S> Answer for Streamed<S>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    fn respond(self, status: StatusCode) -> Result<Response<Body>, Failure> {
        use futures_util::TryStreamExt;
        let body = StreamBody::new(self.0.map_ok(Frame::data)).boxed_unsync();
        Ok(typed(status, "application/octet-stream", body))
    }

    fn describe(_: &mut SchemaGenerator) -> (&'static str, Schema) {
        (
            "application/octet-stream",
            schemars::json_schema!({"type": "string", "format": "binary"}),
        )
    }
}

/// A JSON answer.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response<Body>, Failure> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Failure::internal(format!("an answer does not serialise: {error}")))?;
    Ok(typed(status, JSON, full(bytes)))
}

/// An answer of a content type.
pub fn typed(status: StatusCode, content: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

/// Sets a header whose value may not fit; then the answer goes without it.
pub fn header(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
