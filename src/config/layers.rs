//! Layers of configuration laid over each other, and the faults of all their keys at once.

use std::ffi::OsString;
use std::path::Path;

use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULT, Fault};
use super::{environment, older};

/// See the head of the file.
pub(super) struct Layers {
    merged: Table,
    /// Keys that were given as text, so that a number may also mean a text.
    texts: Vec<(Vec<String>, String)>,
    /// What is wrong with variables that are no key of ours.
    faults: Vec<Fault>,
    /// What is taken and of no use.
    notes: Vec<Fault>,
}

impl Layers {
    /// The embedded default alone.
    pub fn embedded() -> Self {
        let merged: Table = DEFAULT.parse().expect("the embedded default is TOML");
        Self {
            merged,
            texts: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Lays a file over what is there.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.add_text(path, &text)
    }

    /// Lays a text over what is there.
    pub fn add_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| ConfigError::Syntax {
                path: path.to_owned(),
                why: syntax(text, &error),
            })?;
        merge(&mut self.merged, table);
        Ok(())
    }

    /// Lays the variables of the process over what is there.
    pub fn add_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let (texts, faults) = environment::texts(variables);
        self.faults.extend(faults);
        self.add_environment(texts.into_iter());
    }

    /// Lays the environment over what is there; the names of earlier deployments first.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let variables: Vec<_> = variables.collect();
        let older = older::read(&variables, &mut self.merged);
        self.faults.extend(older.faults);
        self.notes.extend(older.notes);
        let sections: Vec<&str> = self.merged.keys().map(String::as_str).collect();
        self.notes.extend(environment::misspelt(&variables, &sections));
        let ours = environment::settings(&variables);
        for (path, text) in older.settings.into_iter().chain(ours) {
            merge(&mut self.merged, nest(&path, literal(&text)));
            self.texts.push((path, text));
        }
    }

    /// The configuration that the layers make.
    pub fn finish(mut self) -> Result<Config, ConfigError> {
        for (path, text) in &self.texts {
            // `api_hash = 123` from the environment is meant as a text.
            let as_text = nest(path, Value::String(text.clone()));
            if fault_of(&nest(path, literal(text))).is_some() && fault_of(&as_text).is_none() {
                merge(&mut self.merged, as_text);
            }
        }
        let mut faults = self.faults;
        collect(&self.merged, &mut Vec::new(), &mut faults);
        if !faults.is_empty() {
            faults.sort_by(|one, other| one.key.cmp(&other.key));
            return Err(ConfigError::Faults(faults));
        }
        let section = self.merged.get("store").and_then(Value::as_table);
        let folder_is_named = section.is_some_and(|store| store.contains_key("folder"));
        let mut config: Config = self.merged.try_into().map_err(|error: toml::de::Error| {
            ConfigError::Faults(vec![Fault {
                key: "(whole)".into(),
                why: error.message().to_owned(),
            }])
        })?;
        config.notes = self.notes;
        config.folder_is_named = folder_is_named;
        let faults = config.faults();
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Faults(faults))
        }
    }
}

/// Where and why a text is not TOML. The line itself is not told: an api_hash may stand in it.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// A value under its path, and nothing else.
fn nest(path: &[String], value: Value) -> Table {
    let mut table = Table::new();
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            table.insert(key.clone(), Value::Table(nest(rest, value)));
        }
    }
    table
}

/// A text as the TOML value it looks like, else as itself.
fn literal(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>();
    parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Tries every key alone, since all others have a default: what fails is that key's fault, or that of one
/// within it.
fn collect(table: &Table, path: &mut Vec<String>, faults: &mut Vec<Fault>) {
    for (key, value) in table {
        path.push(key.clone());
        if let Some(why) = fault_of(&nest(path, value.clone())) {
            let before = faults.len();
            if let Value::Table(inner) = value {
                collect(inner, path, faults);
            }
            if faults.len() == before {
                faults.push(Fault {
                    key: path.join("."),
                    why,
                });
            }
        }
        path.pop();
    }
}

fn fault_of(table: &Table) -> Option<String> {
    let parsed: Result<Config, toml::de::Error> = table.clone().try_into();
    parsed.err().map(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::embedded();
        let owned = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        layers.add_environment(owned);
        layers.finish()
    }

    #[test]
    fn the_environment_replaces_single_keys() {
        let config = with(&[
            ("TRUNKLINE__TELEGRAM__API_ID", "17"),
            ("TRUNKLINE__STORE__SYNC", "process"),
        ]);
        let config = config.expect("right");
        assert_eq!(config.telegram.api_id, 17);
        assert_eq!(config.store.sync, crate::store::SyncMode::Process);
    }

    #[test]
    fn a_text_of_digits_stays_a_text() {
        let config = with(&[("TRUNKLINE__TELEGRAM__API_HASH", "123456")]).expect("right");
        assert_eq!(config.telegram.api_hash.expose(), "123456");
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let Err(ConfigError::Faults(faults)) = with(&[("TRUNKLINE__HTTP__NOTHING", "1")]) else {
            panic!("it was taken")
        };
        assert_eq!(faults[0].key, "http.nothing");
    }

    #[test]
    fn the_names_of_earlier_deployments_work() {
        let config = with(&[
            ("TELEGRAM_API_ID", "17"),
            ("TELEGRAM_API_HASH", "123456"),
            ("HOST", "0.0.0.0"),
            ("PORT", "9000"),
            ("DEBUG", "true"),
            ("DATABASE_URL", "sled:///var/lib/trunkline"),
            ("REDIS_URL", "redis://localhost"),
            ("LARAVEL_BASE_URL", "https://crm.example/"),
            ("WEBHOOK_SECRET_TOKEN", "a secret"),
            ("PATH", "/bin"),
        ]);
        let config = config.expect("right");
        assert_eq!(config.telegram.api_id, 17);
        assert_eq!(config.telegram.api_hash.expose(), "123456");
        assert_eq!(config.http.listen.to_string(), "0.0.0.0:9000");
        assert!(config.log.level.starts_with("debug,"));
        assert_eq!(config.store.folder, Path::new("/var/lib/trunkline"));
        let backend = &config.webhook.endpoints[0];
        assert_eq!(
            backend.url,
            "https://crm.example/api/webhooks/telegram/{agent_id}"
        );
        assert_eq!(backend.shape, crate::webhook::Shape::Agent);
        assert_eq!(
            backend.bearer.as_ref().map(|secret| secret.expose()),
            Some("a secret")
        );
        let warned: Vec<_> = config.warnings().into_iter().map(|fault| fault.key).collect();
        assert_eq!(warned, ["http.listen", "REDIS_URL"]);
    }

    #[test]
    fn a_folder_is_named_even_if_it_is_the_default_ones_name() {
        assert!(!with(&[]).expect("right").folder_is_named);
        assert!(
            with(&[("TRUNKLINE__STORE__FOLDER", "data")])
                .expect("right")
                .folder_is_named
        );
        let file = Config::from_text("[store]\nfolder = \"data\"\n").expect("right");
        assert!(file.folder_is_named && file.store.folder == Path::new("data"));
    }

    #[test]
    fn a_first_key_that_can_be_none_is_a_fault_like_others() {
        let key = |text: &str| with(&[("API_SECRET_KEY", text), ("TRUNKLINE__TELEGRAM__API_ID", "-1")]);
        let Err(ConfigError::Faults(faults)) = key("too short") else {
            panic!("it was taken")
        };
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["access.first_key (API_SECRET_KEY)", "telegram.api_id"]);
        let config = with(&[("API_SECRET_KEY", "1234567890123456")]).expect("a text of digits is one");
        let key = config.access.first_key.expect("given");
        assert_eq!(key.expose(), "1234567890123456");
    }

    #[test]
    fn earlier_names_beat_the_file_and_ours_beat_them() {
        let file = "[http]\nlisten = \"127.0.0.2:81\"\n[telegram]\napi_id = 1\n\
            [[webhook.endpoints]]\nname = \"backend\"\nurl = \"https://a.example/{agent_id}\"\nshape = \"agent\"\n";
        let finish = |variables: &[(&str, &str)]| {
            let mut layers = Layers::embedded();
            layers.add_text(Path::new("(text)"), file).expect("TOML");
            let owned = variables
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            layers.add_environment(owned);
            layers.finish().expect("right")
        };
        let config = finish(&[("PORT", "82"), ("TELEGRAM_API_ID", "2")]);
        assert_eq!(config.http.listen.to_string(), "127.0.0.2:82");
        assert_eq!(config.telegram.api_id, 2);
        let config = finish(&[
            ("TRUNKLINE__HTTP__LISTEN", "127.0.0.3:83"),
            ("TRUNKLINE__TELEGRAM__API_ID", "3"),
            ("HOST", "::1"),
            ("TELEGRAM_API_ID", "2"),
            ("WEBHOOK_SECRET_TOKEN", "s"),
        ]);
        assert_eq!(config.http.listen.to_string(), "127.0.0.3:83");
        assert_eq!(config.telegram.api_id, 3);
        assert_eq!(config.webhook.endpoints.len(), 1);
        assert_eq!(config.webhook.endpoints[0].url, "https://a.example/{agent_id}");
        assert!(config.webhook.endpoints[0].bearer.is_some());
        assert_eq!(finish(&[("HOST", "::1")]).http.listen.to_string(), "[::1]:81");
    }

    #[test]
    fn earlier_names_that_cannot_be_are_told_by_their_names() {
        let keys = |variables: &[(&str, &str)]| {
            let Err(ConfigError::Faults(faults)) = with(variables) else {
                panic!("taken: {variables:?}")
            };
            faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&[("HOST", "crm.example"), ("PORT", "x")]), ["HOST", "PORT"]);
        assert_eq!(keys(&[("DEBUG", "maybe")]), ["DEBUG"]);
        for url in ["sqlite:/x.db", "postgresql://crm@localhost/crm", "sled:"] {
            assert_eq!(keys(&[("DATABASE_URL", url)]), ["DATABASE_URL"], "{url}");
        }
        let config = with(&[("DATABASE_URL", "/srv/data"), ("WEBHOOK_SECRET_TOKEN", "x")]).expect("right");
        assert_eq!(config.store.folder, Path::new("/srv/data"));
        assert!(
            config
                .warnings()
                .iter()
                .any(|fault| fault.key == "WEBHOOK_SECRET_TOKEN")
        );
    }
}
