//! The section `[webhook]` of the configuration.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::endpoint::{ChatOrder, Shape};
use super::schedule::Schedule;
use crate::base::{Secret, Span};

/// How deliveries are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// The wait before each try, the first try included; as many entries as tries.
    pub retry_delays: Vec<Span>,
    /// The least wait after 429, 502, 504 or a time-out.
    pub overload_floor: Span,
    /// How long one try may take, from the connection to the answer's head.
    pub timeout: Span,
    /// How long a failing delivery may hold back the later ones of its chat.
    pub hold: Span,
    /// An endpoint that has only failed for this long, silence left out, is disabled.
    pub disable_after: Span,
    /// And not before so many tries have failed since the last success.
    pub disable_tries: u32,
    /// How many deliveries of one endpoint are under way at once.
    pub in_flight: usize,
    /// How long finished deliveries and their attempts can be looked up.
    pub keep: Span,
    /// Networks that are allowed although their addresses are not public.
    pub allowed_networks: Vec<IpNet>,
    /// Endpoints that the operator sets up here; their URLs are trusted.
    pub endpoints: Vec<ConfiguredEndpoint>,
}

/// An endpoint that the operator wrote into the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredEndpoint {
    /// Its name: the endpoint stays the same one as long as this does.
    pub name: String,
    /// Where to; `{agent_id}` is replaced by the session's agent.
    pub url: String,
    /// The form of the bodies.
    #[serde(default)]
    pub shape: Shape,
    /// Which events; none named means all that the shape has.
    #[serde(default)]
    pub events: Vec<String>,
    /// Which sessions; none named means all.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Whether the order of each chat is kept.
    #[serde(default)]
    pub order: ChatOrder,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub bearer: Option<Secret>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let delays = [
            0,
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            10 * HOUR,
        ];
        Self {
            retry_delays: delays.map(Span::secs).to_vec(),
            overload_floor: Span::secs(MINUTE),
            timeout: Span::secs(15),
            hold: Span::secs(5 * MINUTE),
            disable_after: Span::secs(120 * HOUR),
            disable_tries: 16,
            in_flight: 32,
            keep: Span::secs(72 * HOUR),
            allowed_networks: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}

impl WebhookConfig {
    /// The quick profile for the demo, tests and benches: the same shape of schedule within
    /// seconds, and loopback receivers allowed.
    pub fn sandbox() -> Self {
        let delays = [0, 50, 100, 200, 400, 800, 1_500, 3_000];
        Self {
            retry_delays: delays.map(Span::millis).to_vec(),
            overload_floor: Span::millis(200),
            timeout: Span::secs(5),
            hold: Span::secs(10),
            disable_tries: 4,
            allowed_networks: vec![
                IpNet::V4(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
                IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
            ],
            ..Self::default()
        }
    }

    /// The retry schedule.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            delays: self
                .retry_delays
                .iter()
                .map(|span| Duration::from(*span))
                .collect(),
            overload_floor: *self.overload_floor,
        }
    }

    /// What is wrong with it, each as key and why; nothing if it can be used.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: &str| faults.push((format!("webhook.{key}"), why.to_owned()));
        if self.retry_delays.is_empty() {
            fault(
                "retry_delays",
                "needs at least one entry: the wait before the first try",
            );
        }
        if self.timeout.is_zero() {
            fault("timeout", "must be longer than nothing");
        }
        if self.disable_tries == 0 {
            fault("disable_tries", "must be at least 1");
        }
        if self.in_flight == 0 {
            fault("in_flight", "must be at least 1");
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.name.is_empty() {
                fault(&format!("endpoints[{index}].name"), "must not be empty");
            }
            if self.endpoints[..index]
                .iter()
                .any(|other| other.name == endpoint.name)
            {
                fault(&format!("endpoints[{index}].name"), "stands twice");
            }
            if let Err(error) = endpoint.check(&self.allowed_networks) {
                fault(&format!("endpoints[{index}]"), &error.to_string());
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(WebhookConfig::default().faults(), []);
        assert_eq!(WebhookConfig::sandbox().faults(), []);
    }

    #[test]
    fn every_fault_is_named() {
        let config: WebhookConfig = toml::from_str(
            r#"
            retry_delays = []
            in_flight = 0
            [[endpoints]]
            name = "crm"
            url = "https://crm.example/hook/{agent_id}"
            shape = "agent"
            [[endpoints]]
            name = "crm"
            url = "http://crm.example/hook"
            "#,
        )
        .expect("parses");
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "webhook.retry_delays",
                "webhook.in_flight",
                "webhook.endpoints[1].name",
                "webhook.endpoints[1]",
            ]
        );
        assert!(toml::from_str::<WebhookConfig>("speed = 3").is_err());
        assert!(toml::from_str::<WebhookConfig>("allowed_networks = ['10.0.0.0/33']").is_err());
    }
}
