//! Operation: what systemd is told, and what an operator's dashboard, rules and runbook rely on.

mod documents;
mod life;
mod systemd;
