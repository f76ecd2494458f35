//! One request as a handler sees it: who asks, for what, with which parameters.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use serde::de::DeserializeOwned;

use super::Api;
use super::binding::Target;
use super::body::{is_nothing, meaning};
use super::failure::Failure;
use super::query::Query;
use super::spool::FormFile;
use super::texts::Language;
use super::upgrade::Upgrade;
use crate::access::{Effect, Principal};
use crate::base::{Code, SessionId};
use crate::forward::Pair;
use crate::ops::audit::{Initiator, Who};
use crate::webhook::{DeliveryDetail, Endpoint};

/// No refusal lists more sessions.
const CHOICES: usize = 200;

/// One request, its key verified and its path matched.
pub struct Call {
    /// The handles of the domains.
    pub api: Arc<Api>,
    /// Who asks; none only on the routes that need no key.
    pub caller: Option<Principal>,
    /// The parameters of the path.
    pub params: Vec<(String, String)>,
    /// What follows the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The address at the other end of the connection.
    pub from: Option<IpAddr>,
    /// The name of this request in logs and errors.
    pub request: String,
    /// The language of errors.
    pub language: Language,
    /// The file, if the body came as a form with one.
    pub file: Option<FormFile>,
    /// The wish to speak something else than HTTP, if the request has it.
    pub upgrade: Option<Upgrade>,
    /// What the request is about, as its row declares; or why that does not exist for the caller.
    pub target: Result<Target, Failure>,
    /// What the effect of the request is called, if its caller named it.
    pub effect: Option<Effect>,
}

impl Call {
    /// Who asks.
    pub fn principal(&self) -> Result<&Principal, Failure> {
        self.caller
            .as_ref()
            .ok_or_else(|| Failure::new(Code::Unauthorized))
    }

    /// A parameter of the path as the id it must be; what does not parse does not exist.
    pub fn id<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.param(name)?.parse().map_err(|_| Failure::not_found())
    }

    /// A parameter of the path.
    pub fn param(&self, name: &str) -> Result<&str, Failure> {
        self.params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .ok_or_else(Failure::not_found)
    }

    /// The session that the request is about.
    pub fn session(&self) -> Result<SessionId, Failure> {
        match self.target.clone()? {
            Target::Session(id) => Ok(id),
            _ => Err(undeclared()),
        }
    }

    /// The pair that the request is about.
    pub fn pair(&self) -> Result<Pair, Failure> {
        match self.target.clone()? {
            Target::Pair(pair) => Ok(*pair),
            _ => Err(undeclared()),
        }
    }

    /// The endpoint that the request is about.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        match self.target.clone()? {
            Target::Endpoint(endpoint) => Ok(*endpoint),
            _ => Err(undeclared()),
        }
    }

    /// The delivery that the request is about.
    pub fn delivery(&self) -> Result<DeliveryDetail, Failure> {
        match self.target.clone()? {
            Target::Delivery(delivery) => Ok(*delivery),
            _ => Err(undeclared()),
        }
    }

    /// The id of what a named request makes: the same on every try.
    pub fn new_id<T>(&self, from: fn([u8; 16]) -> T) -> Option<T> {
        self.effect.map(|effect| from(effect.id))
    }

    /// The session of an id or of an agent session's UUID, if it exists for the caller.
    pub fn session_named(&self, name: &str) -> Result<SessionId, Failure> {
        let id = self.api.telegram.find(name)?;
        if self.principal()?.sees(id) {
            Ok(id)
        } else {
            Err(Failure::not_found())
        }
    }

    /// The session that is chosen by its name, or the only one that the caller may see.
    pub fn chosen(&self, name: Option<&str>) -> Result<SessionId, Failure> {
        if let Some(name) = name {
            return self.session_named(name);
        }
        let caller = self.principal()?;
        let sessions = self.api.telegram.list().into_iter();
        let seen: Vec<_> = sessions
            .map(|session| session.account.id)
            .filter(|id| caller.sees(*id))
            .collect();
        match seen.as_slice() {
            [] => Err(Failure::not_found()),
            [only] => Ok(*only),
            several => {
                let choices: Vec<_> = several.iter().take(CHOICES).map(ToString::to_string).collect();
                let failure = Failure::invalid("there are several sessions: name one with session_id");
                Err(failure.detail("field", "session_id").detail("choices", choices))
            }
        }
    }

    /// Whether a 404 may be taken for "gone already" when something is deleted again: not for a key
    /// that is bound to sessions, which must not learn what exists beside them.
    pub fn is_gone(&self, failure: &Failure) -> bool {
        failure.code == Code::NotFound && self.caller.as_ref().is_some_and(Principal::sees_all)
    }

    /// Who asks, as the audit log tells it.
    pub fn initiator(&self) -> Result<Initiator, Failure> {
        let caller = self.principal()?;
        Ok(Initiator {
            who: Who::Key(caller.key),
            from: self.from,
            request: Some(self.request.clone()),
            owner: caller.owner.clone(),
        })
    }

    /// The query as what the route declares.
    pub fn query<Q: Query>(&self) -> Result<Q, Failure> {
        Q::read(&self.query)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A handler asked for what its row does not declare.
fn undeclared() -> Failure {
    Failure::internal("the row of this route does not declare what its handler asks for")
}

/// Reads a body.
pub fn parse_body<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Failure> {
    let bytes = meaning(bytes);
    // A list would be taken for the fields in their order.
    if bytes.first() == Some(&b'[') {
        if is_nothing(bytes) {
            return parse_body(b"{}");
        }
        return Err(Failure::invalid("the body has to be an object, not a list"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| refused(&error))?;
    json.end()
        .map_err(|error| Failure::invalid(without_value(&error.to_string())))?;
    Ok(body)
}

/// What does not fit, with the field's name.
pub(super) fn refused<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Failure {
    let reason = without_value(&error.inner().to_string());
    let path = error.path().to_string();
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| reason.split_once(start))
        .and_then(|(_, rest)| rest.split_once('`'));
    let place = Some(path.trim_start_matches('.')).filter(|path| !path.is_empty() && *path != "?");
    let field = match (place, named) {
        (Some(place), Some((leaf, _))) if place != leaf && !place.ends_with(&format!(".{leaf}")) => {
            Some(format!("{place}.{leaf}"))
        }
        (Some(place), _) => Some(place.to_owned()),
        (None, Some((leaf, _))) => Some(leaf.to_owned()),
        (None, None) => None,
    };
    match field {
        // What serde says of a value does not say which.
        Some(field) if named.is_none() => {
            Failure::invalid(format!("{field}: {reason}")).detail("field", field)
        }
        Some(field) => Failure::invalid(reason.clone()).detail("field", field),
        None => Failure::invalid(reason.clone()),
    }
}

/// The words of serde without the value that it met: what is in the wrong place may be a secret, and callers log what
/// they are answered.
fn without_value(reason: &str) -> String {
    for start in ["invalid type: ", "invalid value: ", "unknown variant "] {
        let met = reason
            .strip_prefix(start)
            .and_then(|rest| rest.rsplit_once(", expected "));
        if let Some((met, expected)) = met {
            let kind = met.split(['`', '"']).next().unwrap_or_default();
            let expected = plain(expected);
            return format!("{}, expected {expected}", format!("{start}{kind}").trim_end());
        }
    }
    reason.to_owned()
}

/// What serde expected, without the names of our types.
fn plain(expected: &str) -> String {
    let (what, place) = match expected.split_once(" at line ") {
        Some((what, place)) => (what, format!(" at line {place}")),
        None => (expected, String::new()),
    };
    let ours = [
        "struct ",
        "tuple struct ",
        "internally tagged enum ",
        "adjacently tagged enum ",
    ];
    let what = if ours.iter().any(|start| what.starts_with(start)) {
        "an object"
    } else if what.starts_with("enum ") {
        "one of its names"
    } else {
        what
    };
    format!("{what}{place}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Paged {
        #[serde(default)]
        limit: Option<String>,
        cursor: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        page: Paged,
        pages: Option<Vec<Paged>>,
    }

    #[test]
    fn a_refusal_names_the_field_wherever_it_is() {
        for (body, field) in [
            (r#"{"page":{"limit":5}}"#, "page.limit"),
            (r#"{"page":{"limits":5}}"#, "page.limits"),
            (r#"{"page":{},"pages":[{},{"cursor":[]}]}"#, "pages[1].cursor"),
            (r#"{"pages":[]}"#, "page"),
            (r#"{"page":{},"page":{}}"#, "page"),
            (r#"{"page":{"cursor":"a","cursor":"a"}}"#, "page.cursor"),
        ] {
            let failure = parse_body::<Nested>(body.as_bytes()).expect_err(body);
            assert_eq!(failure.details["field"], field, "{body}: {failure:?}");
        }
        let read: Nested = parse_body(br#"{"page":{"limit":"5"},"pages":null}"#).expect("fits");
        assert!(read.page.limit.is_some() && read.page.cursor.is_none() && read.pages.is_none());
        assert!(
            parse_body::<Paged>(b"{} {}").is_err(),
            "what follows is no part of it"
        );
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_repeated() {
        let code = parse_body::<Paged>(br#"{"limit":70613}"#).expect_err("a text is wanted");
        let text = parse_body::<u8>(br#""a, expected \"b, expected c""#).expect_err("a number is wanted");
        let word = parse_body::<crate::access::Scope>(br#""hunter`2""#).expect_err("no such word");
        let list = parse_body::<Paged>(b" [1]").expect_err("an object is wanted");
        assert_eq!(list.details["reason"], "the body has to be an object, not a list");
        let reasons = [code, text, word].map(|failure| failure.details["reason"].to_string());
        assert!(
            reasons[0].contains("invalid type: integer, expected a string"),
            "{}",
            reasons[0]
        );
        assert!(
            reasons[1].contains("invalid type: string, expected u8"),
            "{}",
            reasons[1]
        );
        assert!(
            reasons[2].contains("unknown variant, expected one of `read`"),
            "{}",
            reasons[2]
        );
    }

    #[test]
    fn an_unknown_field_of_a_body_is_named() {
        let failure = parse_body::<Paged>(br#"{"cursor":"a","curser":"b"}"#).expect_err("unknown");
        assert_eq!(failure.details["field"], "curser");
        assert!(
            failure.details["reason"]
                .as_str()
                .is_some_and(|text| text.contains("curser"))
        );
        assert!(parse_body::<Paged>(b"{").is_err());
    }
}
