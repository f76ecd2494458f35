//! Endpoints: the stored record, what the API shows of one, and what it takes to make or change one.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::{AddressRules, Trust, UrlFault};
use super::config::ConfiguredEndpoint;
use super::filter::{FilterFault, Wants};
use crate::base::{EndpointId, Owner, Secret, Timestamp};

/// What stands in a URL for the agent of the event's session.
pub const AGENT_PLACEHOLDER: &str = "{agent_id}";

/// The form of an endpoint's bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The daemon's own events.
    #[default]
    Trunkline,
    /// The agent-session backend's.
    Agent,
    /// The Bot API's `Update` objects.
    BotApi,
}

/// What is kept in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatOrder {
    /// The events of each chat.
    #[default]
    Chat,
    /// Nothing.
    None,
}

/// Whether deliveries are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// They are.
    Active,
    /// They wait, and no new ones are made, until it is enabled.
    Disabled,
}

/// The stored record of an endpoint; its secrets are kept apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Its id.
    pub id: EndpointId,
    /// Where to, with the placeholder if it has one.
    pub url: String,
    /// The form of its bodies.
    pub shape: Shape,
    /// Which events, as they were named.
    pub events: Vec<String>,
    /// Which sessions, as they were named.
    pub sessions: Vec<String>,
    /// What is kept in order.
    pub order: ChatOrder,
    /// Whether deliveries are made.
    pub state: EndpointState,
    /// Why they are not, as a stable word.
    pub reason: Option<String>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was made.
    pub created_at: Timestamp,
    /// The journal's end when it was made: it gets what comes after.
    pub from_seq: u64,
    /// Its name in the configuration, if it comes from there.
    #[serde(default)]
    pub configured: Option<String>,
}

impl EndpointRecord {
    /// Who chose its URL.
    pub fn trust(&self) -> Trust {
        match self.configured {
            Some(_) => Trust::Operator,
            None => Trust::Caller,
        }
    }

    /// The filter that its lists mean.
    pub fn wants(&self) -> Result<Wants, FilterFault> {
        Wants::compile(self.shape, &self.events, &self.sessions)
    }
}

/// How the deliveries of an endpoint have been going.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointHealth {
    /// Since when every try has failed.
    pub failing_since: Option<Timestamp>,
    /// How many those are.
    #[serde(default)]
    pub failing_tries: u32,
    /// For how long, silence left out.
    #[serde(default)]
    pub failing_ms: u64,
    /// The last failure.
    pub last_error: Option<LastError>,
    /// The last success.
    pub last_success_at: Option<Timestamp>,
    /// Tries made.
    pub attempts: u64,
    /// Deliveries that the receiver has.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Deliveries given up.
    pub exhausted: u64,
}

/// The last failure of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// The status that was answered, if one was.
    pub status: Option<u16>,
    /// What was wrong, as a stable code.
    #[serde(default)]
    pub code: Option<String>,
    /// The same in a few words.
    pub error: String,
}

/// An endpoint as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where to.
    pub url: String,
    /// The form of its bodies.
    pub shape: Shape,
    /// Which events.
    pub events: Vec<String>,
    /// Which sessions.
    pub sessions: Vec<String>,
    /// What is kept in order.
    pub order: ChatOrder,
    /// Whether deliveries are made.
    pub state: EndpointState,
    /// Why they are not.
    pub reason: Option<String>,
    /// Deliveries that wait or are under way.
    pub pending: u64,
    /// The last failure since the last success.
    pub last_error: Option<LastError>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its name in the configuration, if it comes from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<String>,
}

/// An endpoint to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Where to: https, at a public address or in an allowed network.
    pub url: String,
    /// The form of the bodies.
    #[serde(default)]
    pub shape: Shape,
    /// Which events, such as `message.new` or `session.*`; none named means all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Which sessions, by id; none named means all.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// What is kept in order.
    #[serde(default)]
    pub order: ChatOrder,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub bearer: Option<Secret>,
    /// Sent as `X-Telegram-Bot-Api-Secret-Token`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret_token: Option<Secret>,
}

/// What is to be different about an endpoint; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointPatch {
    /// Where to.
    pub url: Option<String>,
    /// The form of the bodies, from the next event on.
    pub shape: Option<Shape>,
    /// Which events.
    pub events: Option<Vec<String>>,
    /// Which sessions.
    pub sessions: Option<Vec<String>>,
    /// What is kept in order.
    pub order: Option<ChatOrder>,
    /// Sent as `Authorization: Bearer …`; an empty text takes it away.
    #[schemars(with = "Option<String>")]
    pub bearer: Option<Secret>,
    /// Sent as `X-Telegram-Bot-Api-Secret-Token`; an empty text takes it away.
    #[schemars(with = "Option<String>")]
    pub secret_token: Option<Secret>,
}

impl EndpointPatch {
    /// Whether it changes more than the secrets.
    pub fn changes_record(&self) -> bool {
        self.url.is_some()
            || self.shape.is_some()
            || self.events.is_some()
            || self.sessions.is_some()
            || self.order.is_some()
    }

    /// The record with the changes in it.
    pub fn apply(&self, record: &mut EndpointRecord) {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                target.clone_from(value);
            }
        }
        set(&mut record.url, &self.url);
        set(&mut record.shape, &self.shape);
        set(&mut record.events, &self.events);
        set(&mut record.sessions, &self.sessions);
        set(&mut record.order, &self.order);
        all_if_none(&mut record.events);
        all_if_none(&mut record.sessions);
    }
}

/// Why an endpoint cannot be as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// The URL.
    #[error("url: {0}")]
    Url(#[source] UrlFault),
    /// The lists of events and sessions.
    #[error(transparent)]
    Filter(#[from] FilterFault),
    /// A placeholder in a shape that has none, or a token that no header can carry.
    #[error("{0}")]
    Field(&'static str),
}

/// Checks a record as far as that goes without asking a name server.
pub fn check_record(record: &EndpointRecord, rules: &AddressRules) -> Result<(), EndpointFault> {
    rules
        .check_url(&record.url, record.trust())
        .map_err(EndpointFault::Url)?;
    record.wants()?;
    Ok(())
}

/// Checks that a token can stand in a header.
pub fn check_token(token: Option<&Secret>) -> Result<(), EndpointFault> {
    match token {
        Some(token) if !token.expose().bytes().all(|byte| (0x20..0x7f).contains(&byte)) => {
            Err(EndpointFault::Field("a token must be printable ASCII"))
        }
        _ => Ok(()),
    }
}

/// The record's URL for one delivery.
pub fn url_for(url: &str, agent_id: Option<i64>) -> std::borrow::Cow<'_, str> {
    match agent_id {
        Some(agent) if url.contains(AGENT_PLACEHOLDER) => {
            url.replace(AGENT_PLACEHOLDER, &agent.to_string()).into()
        }
        _ => url.into(),
    }
}

/// A URL as logs and the API show it: without what may be secret.
pub fn public_url(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// An empty list means everything, and says so.
fn all_if_none(list: &mut Vec<String>) {
    if list.is_empty() {
        list.push("*".to_owned());
    }
}

impl NewEndpoint {
    /// The record of it.
    pub fn record(&self, id: EndpointId, owner: Owner, now: Timestamp, from_seq: u64) -> EndpointRecord {
        let mut record = EndpointRecord {
            id,
            url: self.url.clone(),
            shape: self.shape,
            events: self.events.clone(),
            sessions: self.sessions.clone(),
            order: self.order,
            state: EndpointState::Active,
            reason: None,
            owner,
            created_at: now,
            from_seq,
            configured: None,
        };
        all_if_none(&mut record.events);
        all_if_none(&mut record.sessions);
        record
    }
}

impl ConfiguredEndpoint {
    /// The id: the same for the same name, today and after a restart.
    pub fn id(&self) -> EndpointId {
        use sha2::{Digest, Sha256};
        let hash = Sha256::new()
            .chain_update(b"configured endpoint\0")
            .chain_update(self.name.as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        EndpointId::from_bytes(bytes)
    }

    /// The record as the configuration has it.
    pub fn record(&self, now: Timestamp, from_seq: u64) -> EndpointRecord {
        let mut record = EndpointRecord {
            id: self.id(),
            url: self.url.clone(),
            shape: self.shape,
            events: self.events.clone(),
            sessions: self.sessions.clone(),
            order: self.order,
            state: EndpointState::Active,
            reason: None,
            owner: Owner::admin(),
            created_at: now,
            from_seq,
            configured: Some(self.name.clone()),
        };
        all_if_none(&mut record.events);
        all_if_none(&mut record.sessions);
        record
    }

    /// Checks it as far as that goes without asking a name server.
    pub fn check(&self, allowed: &[IpNet]) -> Result<(), EndpointFault> {
        check_token(self.bearer.as_ref())?;
        let rules = AddressRules {
            allowed: allowed.to_vec(),
        };
        check_record(&self.record(Timestamp(0), 0), &rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(json: serde_json::Value) -> NewEndpoint {
        serde_json::from_value(json).expect("parses")
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let mut record = new(serde_json::json!({"url": "https://a.example/", "events": ["message.new"]}))
            .record(EndpointId::generate(), Owner::admin(), Timestamp(0), 4);
        let before = record.clone();
        let patch: EndpointPatch =
            serde_json::from_value(serde_json::json!({"order": "none"})).expect("parses");
        patch.apply(&mut record);
        assert_eq!(
            record,
            EndpointRecord {
                order: ChatOrder::None,
                ..before
            }
        );
        let patch: EndpointPatch = serde_json::from_value(serde_json::json!({"events": []})).expect("parses");
        patch.apply(&mut record);
        assert_eq!(record.events, ["*"]);
        assert!(serde_json::from_value::<EndpointPatch>(serde_json::json!({"colour": 1})).is_err());
    }

    #[test]
    fn the_placeholder_may_not_be_the_host() {
        let rules = AddressRules::default();
        for url in [
            "https://{agent_id}.example/",
            "https://{agent_id}@crm.example/",
            "https://crm.example:{agent_id}/",
        ] {
            let record = new(serde_json::json!({"url": url})).record(
                EndpointId::generate(),
                Owner::admin(),
                Timestamp(0),
                0,
            );
            assert!(check_record(&record, &rules).is_err(), "{url}");
        }
        let url = "https://crm.example/api/{agent_id}?x={agent_id}";
        assert_eq!(url_for(url, Some(12)), "https://crm.example/api/12?x=12");
        assert_eq!(public_url(url), "https://crm.example/api/{agent_id}");
    }

    #[test]
    fn a_name_in_the_configuration_is_one_endpoint() {
        let one: ConfiguredEndpoint =
            toml::from_str("name = 'crm'\nurl = 'https://a.example'").expect("parses");
        let other: ConfiguredEndpoint =
            toml::from_str("name = 'crm'\nurl = 'https://b.example'").expect("parses");
        assert_eq!(one.id(), other.id());
        assert_eq!(one.id().to_string().parse(), Ok(one.id()));
    }

    #[test]
    fn tokens_cannot_break_out_of_their_header() {
        assert!(check_token(Some(&Secret::new("abc 123"))).is_ok());
        assert!(check_token(Some(&Secret::new("abc\r\nX: y"))).is_err());
    }
}
