//! Which session a route is about that names none in its path.

use schemars::JsonSchema;
use serde::Deserialize;

use super::call::Call;
use super::failure::Failure;
use crate::base::SessionId;

/// The most sessions that a refusal lists.
const LISTED: usize = 200;

/// The query of such a route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The session; may be left out if the key sees only one.
    pub session_id: Option<String>,
}

impl Call {
    /// The session that the query names, or the only one that the caller sees.
    ///
    /// # Errors
    /// If it does not exist for the caller; if none is named and there are several: they are listed then.
    pub fn chosen_session(&self) -> Result<SessionId, Failure> {
        let choice: Choice = self.query()?;
        if let Some(name) = &choice.session_id {
            return self.session_named(name);
        }
        let caller = self.principal()?;
        let seen = self.api.telegram.list().into_iter().map(|view| view.account);
        let seen: Vec<_> = seen.filter(|account| caller.sees(account.id)).collect();
        match seen.as_slice() {
            [] => Err(Failure::not_found()),
            [only] => Ok(only.id),
            several => {
                let names = several
                    .iter()
                    .take(LISTED)
                    .map(|account| account.uuid.to_string());
                let names: Vec<String> = names.collect();
                Err(Failure::invalid("name the session: ?session_id=").detail("session_ids", names))
            }
        }
    }
}
