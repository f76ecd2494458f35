//! The two HTTP interfaces of a scene: the sandbox's control port and the daemon's API.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use trunkline::sandbox::view::MessageView;

/// Messages on a page of the sandbox's history.
const PAGE: usize = 10_000;

/// A client for loopback; the process's TLS provider is installed for it.
pub fn http() -> Client {
    // Whoever came first has installed this very one.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("a client")
}

/// The sandbox, over its control port.
#[derive(Clone)]
pub struct World {
    http: Client,
    base: String,
}

impl World {
    pub fn new(http: Client, base: String) -> Self {
        Self { http, base }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.expect("the sandbox answers");
        let status = response.status();
        let answer = response.json().await.unwrap_or(Value::Null);
        assert!(status.is_success(), "{path} {body:?}: {status} {answer}");
        answer
    }

    /// The configuration of a daemon that reaches it.
    pub async fn config(&self) -> String {
        let response = self.http.get(format!("{}/config", self.base)).send().await;
        response
            .expect("the sandbox answers")
            .text()
            .await
            .expect("a text")
    }

    pub async fn user(&self, phone: &str, name: &str) -> i64 {
        let new = json!({"phone": phone, "first_name": name});
        self.ask(Method::POST, "/users", Some(new)).await["id"]
            .as_i64()
            .expect("an id")
    }

    pub async fn channel(&self, title: &str, creator: i64, members: &[i64]) -> i64 {
        self.chat("channel", title, creator, members).await
    }

    /// A chat of any kind: `group`, `supergroup`, `channel`.
    pub async fn chat(&self, kind: &str, title: &str, creator: i64, members: &[i64]) -> i64 {
        let new = json!({"kind": kind, "title": title, "creator": creator, "members": members});
        self.ask(Method::POST, "/chats", Some(new)).await["id"]
            .as_i64()
            .expect("an id")
    }

    /// A channel that anybody may find by its name.
    pub async fn public(&self, username: &str, creator: i64) {
        let new = json!({"kind": "channel", "title": username, "creator": creator, "username": username});
        self.ask(Method::POST, "/chats", Some(new)).await;
    }

    /// The last login code of a number.
    pub async fn code(&self, phone: &str) -> String {
        let url = format!("{}/codes/{}", self.base, phone.trim_start_matches('+'));
        let response = self.http.get(url).send().await.expect("the sandbox answers");
        response.text().await.expect("a text")
    }

    /// How many authorisations an account has.
    pub async fn logins(&self, user: i64) -> usize {
        let logins = self
            .ask(Method::GET, &format!("/users/{user}/logins"), None)
            .await;
        logins["items"].as_array().expect("a list").len()
    }

    /// Posts; the numbers of the messages that it became.
    pub async fn post(&self, chat: i64, message: Value) -> Vec<i64> {
        let answer = self
            .ask(Method::POST, &format!("/chats/{chat}/messages"), Some(message))
            .await;
        let items = answer["items"].as_array().expect("a list");
        items.iter().filter_map(|item| item["id"].as_i64()).collect()
    }

    pub async fn edit(&self, chat: i64, id: i64, from: i64, text: &str) {
        let path = format!("/chats/{chat}/messages/{id}");
        self.ask(Method::PATCH, &path, Some(json!({"from": from, "text": text})))
            .await;
    }

    pub async fn delete(&self, chat: i64, id: i64, from: i64) {
        let path = format!("/chats/{chat}/messages/{id}?from={from}");
        self.ask(Method::DELETE, &path, None).await;
    }

    /// Changes the sandbox's settings.
    pub async fn settings(&self, change: Value) {
        self.ask(Method::PATCH, "/settings", Some(change)).await;
    }

    /// A reaction to a message: an edit that does not show.
    pub async fn react(&self, chat: i64, id: i64, from: i64, emoji: &str) {
        let path = format!("/chats/{chat}/messages/{id}/reactions");
        self.ask(Method::POST, &path, Some(json!({"from": from, "emoji": emoji})))
            .await;
    }

    /// A supergroup becomes a forum with a topic; the topic's number.
    pub async fn forum(&self, chat: i64, from: i64, title: &str) -> i64 {
        let path = format!("/chats/{chat}/forum");
        self.ask(Method::PUT, &path, Some(json!({"enabled": true}))).await;
        let topic = json!({"from": from, "title": title});
        let path = format!("/chats/{chat}/topics");
        self.ask(Method::POST, &path, Some(topic)).await["id"]
            .as_i64()
            .expect("a number")
    }

    /// What a member of a chat is from now on: `member`, `banned` …
    pub async fn role(&self, chat: i64, user: i64, role: &str) {
        let path = format!("/chats/{chat}/members/{user}");
        self.ask(Method::PUT, &path, Some(json!({"role": role}))).await;
    }

    /// A basic group becomes a supergroup; its number.
    pub async fn migrate(&self, chat: i64) -> i64 {
        let path = format!("/chats/{chat}/migration");
        self.ask(Method::POST, &path, None).await["id"]
            .as_i64()
            .expect("an id")
    }

    /// Every message ever stored in a chat.
    pub async fn messages(&self, chat: i64) -> Vec<MessageView> {
        self.messages_as(chat, None).await
    }

    /// The same in the numbers of one member, as private chats and basic groups need it.
    pub async fn messages_as(&self, chat: i64, member: Option<i64>) -> Vec<MessageView> {
        let member = member.map_or_else(String::new, |member| format!("&as={member}"));
        let (mut all, mut since) = (Vec::new(), 0);
        loop {
            let path = format!("/chats/{chat}/messages?deleted=true&since={since}&limit={PAGE}{member}");
            let mut page = self.ask(Method::GET, &path, None).await;
            let items: Vec<MessageView> = serde_json::from_value(page["items"].take()).expect("messages");
            all.extend(items);
            match page["next"].as_i64() {
                Some(next) => since = next,
                None => return all,
            }
        }
    }

    /// Scripts trouble; docs/sandbox.md names the kinds.
    pub async fn fault(&self, fault: Value) -> u64 {
        self.ask(Method::POST, "/faults", Some(fault)).await["id"]
            .as_u64()
            .expect("a number")
    }

    /// How often a fault acted.
    pub async fn acted(&self, fault: u64) -> u64 {
        let faults = self.ask(Method::GET, "/faults", None).await;
        let items = faults["items"].as_array().expect("a list");
        let found = items.iter().find(|item| item["id"] == fault);
        found.and_then(|item| item["acted"].as_u64()).unwrap_or(0)
    }

    /// How often faults of a kind acted, all in all.
    pub async fn acted_in_all(&self, kind: &str) -> u64 {
        let faults = self.ask(Method::GET, "/faults", None).await;
        let items = faults["items"].as_array().expect("a list");
        let of_kind = items.iter().filter(|item| item["kind"] == kind);
        of_kind.filter_map(|item| item["acted"].as_u64()).sum()
    }

    /// All faults, with how often each matched and acted.
    pub async fn faults(&self) -> Vec<Value> {
        let mut faults = self.ask(Method::GET, "/faults", None).await;
        match faults["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// When an account called a method, and with what outcome, the oldest first.
    pub async fn calls(&self, account: i64, method: &str) -> Vec<(i64, String)> {
        let query = format!("account={account}&method={method}&limit=200");
        let requests = self.requests(&query).await;
        let items = requests["items"].as_array().cloned().unwrap_or_default();
        let call = |item: &Value| Some((item["at"].as_i64()?, item["outcome"].as_str()?.to_owned()));
        items.iter().filter_map(call).collect()
    }

    /// An account's password from now on.
    pub async fn password(&self, user: i64, password: &str) {
        let path = format!("/users/{user}/password");
        self.ask(Method::PUT, &path, Some(json!({"password": password})))
            .await;
    }

    /// An account lives at another data centre from now on.
    pub async fn home(&self, user: i64, dc: i32) {
        let path = format!("/users/{user}/home");
        self.ask(Method::PUT, &path, Some(json!({"dc": dc}))).await;
    }

    /// No more trouble.
    pub async fn clear_faults(&self) {
        self.ask(Method::DELETE, "/faults", None).await;
    }

    /// The last calls with their outcome, and counters by method.
    pub async fn requests(&self, query: &str) -> Value {
        self.ask(Method::GET, &format!("/requests?{query}"), None).await
    }
}

/// The daemon, over its API.
#[derive(Clone)]
pub struct Api {
    http: Client,
    base: String,
    metrics: String,
    key: String,
}

impl Api {
    pub fn new(http: Client, host: std::net::IpAddr, key: String) -> Self {
        Self {
            http,
            base: format!("http://{host}:{}", super::scene::API_PORT),
            metrics: format!("http://{host}:{}/metrics", super::scene::METRICS_PORT),
            key,
        }
    }

    /// A request with the admin's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.request(method, url).header("x-api-key", &self.key)
    }

    /// Status and body of an answer; none if there was no answer.
    pub async fn try_ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// Sends a form with a file; status and body of the answer, none if there was no answer.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Option<(u16, Value)> {
        const BOUNDARY: &str = "between-the-fields";
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += &format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\n\r\n"
        );
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [body.as_bytes(), file, end.as_bytes()].concat();
        let request = self.request(Method::POST, path);
        let form = format!("multipart/form-data; boundary={BOUNDARY}");
        let response = request
            .header("content-type", form)
            .body(body)
            .send()
            .await
            .ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// The body of a success.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, body) = self
            .try_ask(method, path, body)
            .await
            .expect("the daemon answers");
        assert!((200..300).contains(&status), "{path}: {status} {body}");
        body
    }

    /// All items of a list, page by page; fewer if a page was not answered.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit=200{next}");
            let Some((200, mut page)) = self.try_ask(Method::GET, &page, None).await else {
                return all;
            };
            if let Value::Array(items) = page["items"].take() {
                all.extend(items);
            }
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return all,
            }
        }
    }

    /// Whether it says that it can do its work.
    pub async fn ready(&self) -> bool {
        let answer = self.try_ask(Method::GET, "/health/ready", None).await;
        answer.is_some_and(|(status, _)| status == 200)
    }

    /// The sum of a metric over its labels; none if it could not be asked.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self
            .http
            .get(&self.metrics)
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        let rows = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        let values = rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(values.sum())
    }
}
