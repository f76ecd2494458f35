//! One request as a handler sees it: who asks, for what, with which parameters.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use super::Api;
use super::failure::Failure;
use super::spool::FormFile;
use super::texts::Language;
use super::upgrade::Upgrade;
use crate::access::Principal;
use crate::base::{Code, SessionId};
use crate::ops::audit::{Initiator, Who};

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

    /// The session that the path names, if it exists for the caller.
    pub fn session(&self) -> Result<SessionId, Failure> {
        self.session_named(self.param("id")?)
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
    pub fn query<Q: DeserializeOwned>(&self) -> Result<Q, Failure> {
        parse_query(&self.query)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Reads a query: every name once, unknown ones refused. Numbers need [`number`].
pub fn parse_query<Q: DeserializeOwned>(query: &str) -> Result<Q, Failure> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if fields
            .insert(name.to_string(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(Failure::invalid(format!("{name} stands twice in the query"))
                .detail("field", name.into_owned()));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| invalid(&error))
}

/// Reads a body.
pub fn parse_body<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Failure> {
    // A list would be taken for the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Failure::invalid("the body has to be an object, not a list"));
    }
    serde_json::from_slice(bytes).map_err(|error| invalid(&error))
}

/// What does not fit, with the field's name where serde tells it.
fn invalid(error: &serde_json::Error) -> Failure {
    let reason = without_value(&error.to_string());
    let failure = Failure::invalid(reason.clone());
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| reason.split_once(start))
        .and_then(|(_, rest)| rest.split_once('`'));
    match named {
        Some((field, _)) => failure.detail("field", field),
        None => failure,
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

/// A number in a query, which is always text there.
pub fn number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom(format!("`{text}` is not a number that fits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Paged {
        #[serde(default, deserialize_with = "number")]
        limit: Option<u32>,
        cursor: Option<String>,
    }

    #[test]
    fn a_query_is_read_strictly() {
        let paged: Paged = parse_query("limit=5&cursor=a%20b").expect("fits");
        assert_eq!((paged.limit, paged.cursor.as_deref()), (Some(5), Some("a b")));
        assert!(parse_query::<Paged>("").expect("fits").limit.is_none());
        for wrong in ["limit=x", "limit=-1", "limit=1&limit=2", "lim=1"] {
            let failure = parse_query::<Paged>(wrong).expect_err(wrong);
            assert_eq!(failure.code, Code::InvalidRequest);
        }
        let failure = parse_query::<Paged>("lim=1").expect_err("unknown");
        assert_eq!(failure.details["field"], "lim");
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_repeated() {
        let code = parse_body::<Paged>(br#"{"limit":70613}"#).expect_err("a text is wanted");
        let text = parse_body::<u8>(br#""a, expected \"b, expected c""#).expect_err("a number is wanted");
        let word = parse_body::<crate::access::Scope>(br#""hunter`2""#).expect_err("no such word");
        let list = parse_body::<Paged>(b" []").expect_err("an object is wanted");
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
