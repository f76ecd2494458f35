//! Settings under the names that earlier deployments use. They are stronger than the file and weaker than ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use toml::{Table, Value};

use super::Fault;

/// Names that mean a key of ours: variable, section, key.
const SAME: &[(&str, &str, &str)] = &[
    ("TELEGRAM_API_ID", "telegram", "api_id"),
    ("TELEGRAM_API_HASH", "telegram", "api_hash"),
    ("API_SECRET_KEY", "access", "first_key"),
];

/// The other names.
const OTHERS: &[&str] = &[
    "HOST",
    "PORT",
    "DEBUG",
    "DATABASE_URL",
    "REDIS_URL",
    "LARAVEL_BASE_URL",
    "WEBHOOK_SECRET_TOKEN",
];

/// Whether a variable is one of these.
pub(super) fn knows(name: &str) -> bool {
    OTHERS.contains(&name) || SAME.iter().any(|(known, ..)| *known == name)
}

/// What `DEBUG=true` means: everything of ours, and of the libraries what is not noise.
const DEBUG_LEVEL: &str = "debug,grammers_mtsender=info,grammers_mtproto=info,grammers_session=info,sled=info,\
    hyper=info,hyper_util=info,reqwest=info,rustls=info";

/// The endpoint that stands for the backend.
pub(super) const BACKEND: &str = "backend";

/// Where a backend takes its webhooks.
const BACKEND_PATH: &str = "/api/webhooks/telegram/{agent_id}";

/// What the older names say.
#[derive(Debug, Default)]
pub(super) struct Older {
    /// What they set by our names, as paths and texts.
    pub settings: Vec<(Vec<String>, String)>,
    /// What cannot be.
    pub faults: Vec<Fault>,
    /// What is taken and of no use.
    pub notes: Vec<Fault>,
}

/// Reads the older names; what does not go by a key of ours is put into `merged` at once.
pub(super) fn read(variables: &[(String, String)], merged: &mut Table) -> Older {
    let given = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let mut older = Older::default();
    for (variable, section, key) in SAME {
        if let Some(value) = given(variable) {
            older.settings.push((path(section, key), value.to_owned()));
        }
    }
    older.listen(given("HOST"), given("PORT"), merged);
    if let Some(text) = given("DEBUG") {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => older.set("log", "level", DEBUG_LEVEL),
            "false" | "0" | "no" | "off" => {}
            _ => older.fault("DEBUG", "must be true or false"),
        }
    }
    if let Some(url) = given("DATABASE_URL") {
        older.database(url);
    }
    if given("REDIS_URL").is_some() {
        older.note("REDIS_URL", "is not used: everything is kept in the data folder");
    }
    older.backend(given("LARAVEL_BASE_URL"), given("WEBHOOK_SECRET_TOKEN"), merged);
    older
}

fn path(section: &str, key: &str) -> Vec<String> {
    vec![section.to_owned(), key.to_owned()]
}

impl Older {
    fn set(&mut self, section: &str, key: &str, value: &str) {
        self.settings.push((path(section, key), value.to_owned()));
    }

    fn fault(&mut self, key: &str, why: &str) {
        self.faults.push(Fault {
            key: key.to_owned(),
            why: why.to_owned(),
        });
    }

    fn note(&mut self, key: &str, why: &str) {
        self.notes.push(Fault {
            key: key.to_owned(),
            why: why.to_owned(),
        });
    }

    /// Each of the two replaces its half of the address.
    fn listen(&mut self, host: Option<&str>, port: Option<&str>, merged: &Table) {
        if host.is_none() && port.is_none() {
            return;
        }
        let set = merged.get("http").and_then(|http| http.get("listen"));
        let set = set.and_then(Value::as_str).and_then(|text| text.parse().ok());
        let set = set.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)));
        let host = match host {
            None => Ok(set.ip()),
            Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(host) => host.trim_matches(['[', ']']).parse(),
        };
        let port = port.map_or(Ok(set.port()), str::parse);
        match (host, port) {
            (Ok(host), Ok(port)) => self.set("http", "listen", &SocketAddr::new(host, port).to_string()),
            (host, port) => {
                if host.is_err() {
                    self.fault("HOST", "must be an IP address or localhost");
                }
                if port.is_err() {
                    self.fault("PORT", "must be a number up to 65535");
                }
            }
        }
    }

    fn database(&mut self, url: &str) {
        match url.split_once(':') {
            None => self.set("store", "folder", url),
            Some(("sled", folder)) => {
                let folder = folder.strip_prefix("//").unwrap_or(folder);
                match folder.is_empty() {
                    true => self.fault("DATABASE_URL", "names no folder"),
                    false => self.set("store", "folder", folder),
                }
            }
            Some(_) => self.fault(
                "DATABASE_URL",
                "is of a database that is not used: state is kept in a folder (sled:/path, a plain path, or --data-dir)",
            ),
        }
    }

    fn backend(&mut self, base: Option<&str>, secret: Option<&str>, merged: &mut Table) {
        if base.is_none() && secret.is_none() {
            return;
        }
        let section = merged.entry("webhook").or_insert_with(|| Table::new().into());
        let Value::Table(section) = section else { return };
        let endpoints = section
            .entry("endpoints")
            .or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(endpoints) = endpoints else {
            return;
        };
        let is_backend = |endpoint: &Value| endpoint.get("name").and_then(Value::as_str) == Some(BACKEND);
        let known = endpoints.iter().position(is_backend);
        let place = match (known, base) {
            (Some(place), _) => place,
            (None, Some(_)) => {
                let mut endpoint = Table::new();
                endpoint.insert("name".to_owned(), BACKEND.into());
                endpoint.insert("shape".to_owned(), "agent".into());
                endpoints.push(endpoint.into());
                endpoints.len() - 1
            }
            (None, None) => {
                self.note(
                    "WEBHOOK_SECRET_TOKEN",
                    "is not used: there is no LARAVEL_BASE_URL, nor an endpoint named backend",
                );
                return;
            }
        };
        let Some(Value::Table(endpoint)) = endpoints.get_mut(place) else {
            return;
        };
        if let Some(base) = base {
            let url = format!("{}{BACKEND_PATH}", base.trim_end_matches('/'));
            endpoint.insert("url".to_owned(), url.into());
        }
        if let Some(secret) = secret {
            endpoint.insert("bearer".to_owned(), secret.into());
        }
    }
}
