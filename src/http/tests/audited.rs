//! Every route that changes something or hands a secret out says what the audit log tells of it, or is listed here as one
//! of which it tells nothing.

use super::*;
use crate::http::table::table;

/// They change what people see at once, what a session sends, or how things run: no key, login, export or deletion of an
/// account.
const UNTOLD: &[&str] = &[
    "PATCH /api/sessions/{id}",
    "POST /api/sessions/{id}/start",
    "POST /api/sessions/{id}/stop",
    "POST /api/sessions/{id}/restart",
    "POST /api/sessions/{id}/messages",
    "POST /api/sessions/{id}/login/cancel",
    "PATCH /api/telegram/accounts/{session_id}",
    "POST /api/telegram/send-message",
    "POST /api/telegram/send-media",
    "POST /api/telegram/connection-pool/cleanup",
    "POST /api/ws-ticket",
];

/// Chapters of which it tells nothing at all.
const UNTOLD_ROOMS: &[&str] = &["pairs", "webhooks", "dead letters", "admin"];

/// Those that only hand something out.
const HANDED_OUT: &[&str] = &["GET /api/webhooks/endpoints/{id}/secret", "GET /api/admin/export"];

#[test]
fn every_route_that_changes_something_says_whether_it_is_audited() {
    let mut seen = Vec::new();
    for route in table() {
        let name = format!("{} {}", route.method, route.path);
        let silent = UNTOLD.contains(&name.as_str()) || UNTOLD_ROOMS.contains(&route.tag);
        let wanted = match route.method == Method::GET {
            true => HANDED_OUT.contains(&name.as_str()),
            false => !silent,
        };
        assert_eq!(!route.audits.is_empty(), wanted, "{name}, of {}", route.tag);
        seen.push(name);
    }
    for listed in UNTOLD.iter().chain(HANDED_OUT) {
        assert!(seen.iter().any(|name| name == listed), "no such route: {listed}");
    }
}
