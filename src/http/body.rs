//! Bodies: taken from the connection within limits of size and time, and what their bytes mean.
//!
//! It knows JSON and forms as containers; what stands in them is the row's and the handler's business.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body as HttpBody;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::dispatch::Service;
use super::failure::Failure;
use super::impatient::cut_off;
use super::multipart;
use super::route::Route;
use super::spool::{self, FormFile};
use crate::base::Code;

/// The mark of byte order that some writers put before a text; RFC 8259 lets readers pass over it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a body that mean something.
pub fn meaning(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii()
}

/// Whether a body says nothing. What has no fields is written in several ways: PHP, for one, writes it as a list.
pub fn is_nothing(body: &[u8]) -> bool {
    let body = meaning(body);
    let within = |open, close| {
        let inner = body.strip_prefix(open)?.strip_suffix(close)?;
        Some(inner.trim_ascii().is_empty())
    };
    body.is_empty() || body == b"null" || within(b"{", b"}") == Some(true) || within(b"[", b"]") == Some(true)
}

impl Service {
    /// The body as JSON, and the file if it comes as a form with one.
    pub(super) async fn take_body<B>(
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
        match (&route.form_fields, kind.and_then(multipart::boundary)) {
            (Some(allowed), Some(boundary)) => {
                let data = &self.api.store.config().folder;
                Box::pin(spool::receive((data, &self.config), &boundary, allowed, body)).await
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

fn is_json(value: &[u8]) -> bool {
    let kind = value.split(|byte| *byte == b';').next().unwrap_or(value);
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_name_its_charset() {
        assert!(is_json(b"application/json") && is_json(b"Application/JSON; charset=utf-8"));
        assert!(!is_json(b"application/x-www-form-urlencoded") && !is_json(b"text/json"));
    }

    #[test]
    fn nothing_is_said_in_several_ways() {
        for body in [
            "",
            " \n",
            "{}",
            "{ }",
            "[]",
            " [\t] ",
            "null",
            "\u{feff}{}\r\n",
            "\u{feff}",
        ] {
            assert!(is_nothing(body.as_bytes()), "{body:?}");
        }
        for body in [
            r#"{"a":1}"#,
            "[1]",
            "0",
            "{",
            "}",
            "[}",
            "{]",
            "nul",
            "\"\"",
            "{}{}",
        ] {
            assert!(!is_nothing(body.as_bytes()), "{body:?}");
        }
    }
}
