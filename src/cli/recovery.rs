//! `trunkline tree`, `incidents`, `dead-letters`: what is wrong, and putting it right.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

/// Look at what waits for a person.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline incidents
  trunkline incidents resolve inc_01jc...")]
pub struct Incidents {
    #[command(subcommand)]
    what: Option<OfIncidents>,
}

#[derive(Debug, Subcommand)]
enum OfIncidents {
    /// All that are open
    List,
    /// Say that one is dealt with
    Resolve {
        /// Its id
        id: String,
    },
}

impl Incidents {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        const BASE: &str = "/api/admin/incidents";
        match self.what.unwrap_or(OfIncidents::List) {
            OfIncidents::List => {
                let columns: &[Column] = &[
                    ("ID", "/id"),
                    ("KIND", "/kind"),
                    ("SUBJECT", "/subject"),
                    ("CAUSE", "/cause"),
                    ("ACTION", "/action"),
                ];
                show::list(client.list(BASE).await?, columns, target.json)
            }
            OfIncidents::Resolve { id } => {
                let answer = client
                    .post(&format!("{BASE}/{}/resolve", escape(&id)), &json!({}))
                    .await?;
                show::done(&format!("{id} is resolved"), &answer, target.json)
            }
        }
    }
}

/// Look at discarded tasks, put them back or drop them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline dead-letters --code CHAT_WRITE_FORBIDDEN
  trunkline dead-letters requeue task_01jc... task_01jd...
  trunkline dead-letters drop --lane webhook --since 2026-01-31T00:00:00Z")]
pub struct DeadLetters {
    #[command(subcommand)]
    what: Option<OfDeadLetters>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only of this lane (forward, webhook)
    #[arg(long, global = true)]
    lane: Option<String>,
    /// Only with this error code
    #[arg(long, global = true)]
    code: Option<String>,
    /// Only of this pair
    #[arg(long, global = true)]
    pair: Option<String>,
    /// Only discarded since this time (RFC 3339)
    #[arg(long, global = true)]
    since: Option<String>,
}

#[derive(Debug, Subcommand)]
enum OfDeadLetters {
    /// All of them
    List,
    /// Put back, by id or by filter
    Requeue {
        /// Their ids
        ids: Vec<String>,
    },
    /// Drop for good, by id or by filter
    Drop {
        /// Their ids
        ids: Vec<String>,
    },
}

impl Filter {
    fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let fields = [
            ("lane", &self.lane),
            ("code", &self.code),
            ("pair", &self.pair),
            ("since", &self.since),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    fn query(&self) -> String {
        let parts: Vec<_> = self
            .fields()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!("?{}", parts.join("&"))
        }
    }

    fn body(&self, ids: &[String]) -> Result<Value, CliError> {
        let mut body: Map<String, Value> = self
            .fields()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        if !ids.is_empty() {
            body.insert("ids".to_owned(), json!(ids));
        }
        if body.is_empty() {
            return Err(CliError::Here(
                "name ids, or a filter (--lane, --code, --pair, --since)".to_owned(),
            ));
        }
        Ok(Value::Object(body))
    }
}

impl DeadLetters {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        const BASE: &str = "/api/dead-letters";
        let (verb, ids) = match self.what.unwrap_or(OfDeadLetters::List) {
            OfDeadLetters::List => {
                let columns: &[Column] = &[
                    ("ID", "/id"),
                    ("LANE", "/lane"),
                    ("CODE", "/code"),
                    ("REASON", "/reason"),
                    ("ATTEMPTS", "/attempts"),
                    ("LAST", "/last_at"),
                    ("SUBJECT", "/subject"),
                ];
                let items = client.list(&format!("{BASE}{}", self.filter.query())).await?;
                return show::list(items, columns, target.json);
            }
            OfDeadLetters::Requeue { ids } => ("requeue", ids),
            OfDeadLetters::Drop { ids } => ("drop", ids),
        };
        let body = self.filter.body(&ids)?;
        let answer = client.post(&format!("{BASE}/{verb}"), &body).await?;
        show::one(&answer, target.json)
    }
}

pub(super) async fn tree(client: Client, target: &Target) -> Result<(), CliError> {
    let tree = client.get("/api/admin/tree").await?;
    if target.json {
        return show::json(&tree);
    }
    let mut lines = Vec::new();
    branch(&tree, "", "", &mut lines);
    show::line(&lines.join("\n"))
}

/// A node and what hangs below it, drawn with lines.
fn branch(node: &Value, own: &str, below: &str, lines: &mut Vec<String>) {
    let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or("-");
    let mut line = format!("{own}{}  {} {}", text("id"), text("kind"), text("state"));
    if let Some(restarts) = node
        .get("restarts")
        .and_then(Value::as_u64)
        .filter(|count| *count > 0)
    {
        line.push_str(&format!(", {restarts} restarts"));
    }
    if let Some(held) = node.get("stuck_ms").and_then(Value::as_u64) {
        line.push_str(&format!(", has held a thread for {held} ms"));
    }
    lines.push(line);
    let children = node
        .get("children")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        let (joint, rest) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        branch(
            child,
            &format!("{below}{joint}"),
            &format!("{below}{rest}"),
            lines,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_drawn_with_its_lines() {
        let node = |id: &str, children: Value| json!({"id": id, "kind": "task", "state": "running", "restarts": 0, "children": children});
        let root = node(
            "root",
            json!([node("a", json!([node("b", json!([]))])), node("c", json!([]))]),
        );
        let mut lines = Vec::new();
        branch(&root, "", "", &mut lines);
        let drawn: Vec<_> = lines
            .iter()
            .map(|line| line.split("  task").next().unwrap_or(""))
            .collect();
        assert_eq!(drawn, ["root", "├─ a", "│  └─ b", "└─ c"]);
    }
}
