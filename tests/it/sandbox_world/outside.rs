//! The sandbox from outside: its control port over HTTP, and what stays after a restart.

use serde_json::{Value, json};
use trunkline::sandbox::{Sandbox, SandboxConfig, Seed};

/// Talks to a control port.
struct Control {
    base: String,
    client: reqwest::Client,
}

impl Control {
    fn new(sandbox: &Sandbox) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        Self {
            base: sandbox.control(),
            client: reqwest::Client::new(),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, text) = self.ask("POST", path, Some(body)).await;
        assert_eq!(status, 201, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_port_shows_and_changes_the_world() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("starts");
    let control = Control::new(&sandbox);
    let ann = control
        .post(
            "/users",
            json!({"phone": "+1 555 01", "first_name": "Ann", "username": "ann_a"}),
        )
        .await;
    let bob = control
        .post("/users", json!({"first_name": "Bob", "username": "bob_b"}))
        .await;
    let (ann, bob) = (
        ann["id"].as_i64().expect("a number"),
        bob["id"].as_i64().expect("a number"),
    );
    let chat = json!({"kind": "supergroup", "title": "Team", "creator": "ann_a", "members": [bob]});
    let chat = control.post("/chats", chat).await["id"]
        .as_i64()
        .expect("a number");
    assert!(chat < -1_000_000_000_000);

    let text = json!({"from": bob, "text": "bold", "entities": [{"type": "bold", "offset": 0, "length": 4}]});
    let first = control.post(&format!("/chats/{chat}/messages"), text).await["items"][0].clone();
    let album = json!({
        "from": ann, "reply_to": first["id"],
        "album": [{"photo": {"generate": 1}, "text": "one"}, {"photo": {"base64": "iVBORw0KGgo="}}],
    });
    let (status, text) = control
        .ask("POST", &format!("/chats/{chat}/messages"), Some(album.clone()))
        .await;
    assert_eq!(
        (status, text.contains("IMAGE_PROCESS_FAILED")),
        (422, true),
        "{text}"
    );
    let mut album = album;
    album["album"][1] = json!({"photo": {"generate": 2}});
    control.post(&format!("/chats/{chat}/messages"), album).await;
    let edit = json!({"from": bob, "text": "bolder"});
    let path = format!("/chats/{chat}/messages/{}", first["id"]);
    assert_eq!(control.ask("PATCH", &path, Some(edit)).await.0, 200);

    let all = control.get(&format!("/chats/{chat}/messages?since=1")).await;
    let items = all["items"].as_array().expect("a list");
    assert_eq!(items.len(), 3);
    assert_eq!(
        (items[0]["text"].as_str(), items[0]["edited_at"].is_i64()),
        (Some("bolder"), true)
    );
    assert_eq!(items[1]["album"], items[2]["album"]);
    assert_eq!(
        (&items[1]["reply_to"], &items[1]["media"]["kind"]),
        (&first["id"], &json!("photo"))
    );
    assert_eq!(items[1]["media"]["sha256"].as_str().map(str::len), Some(64));

    let forward = json!({"from": bob, "forward": {"chat": chat, "message": first["id"]}});
    control.post(&format!("/chats/{ann}/messages"), forward).await;
    let private = control.get(&format!("/chats/{bob}/messages?as={ann}")).await;
    assert_eq!(private["items"][0]["forward"]["from"], json!(bob));
    assert_eq!(
        control.ask("DELETE", &format!("{path}?from=bob_b"), None).await.0,
        200
    );
    assert_eq!(
        control.get(&format!("/chats/{chat}/messages")).await["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    let with_gone = control.get(&format!("/chats/{chat}/messages?deleted=true")).await;
    assert_eq!(with_gone["items"].as_array().map(Vec::len), Some(4));

    assert_eq!(control.ask("GET", "/codes/155501", None).await.0, 404);
    sandbox.world().say(ann, bob, "psst").expect("posted");
    let unknown = control.ask("POST", "/users", Some(json!({"first": "x"}))).await;
    assert_eq!(unknown.0, 400);
    assert_eq!(control.ask("GET", "/world?x=1", None).await.0, 200);
    assert_eq!(
        control
            .ask("GET", &format!("/chats/{chat}/messages?x=1"), None)
            .await
            .0,
        400
    );
    let fault = control
        .post("/faults", json!({"kind": "gap", "account": ann, "times": 2}))
        .await;
    assert_eq!(
        control
            .ask("DELETE", &format!("/faults/{}", fault["id"]), None)
            .await
            .0,
        200
    );
    assert!(
        control.get("/requests").await["items"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let config = control.ask("GET", "/config", None).await.1;
    assert!(config.starts_with(&sandbox.config_section()));
    trunkline::config::Config::from_text(&config).expect("a daemon takes it as it is");
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_world_comes_back_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SandboxConfig {
        data: Some(folder.path().join("world")),
        seed: Some(Seed::example().expect("an example")),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config.clone()).await.expect("starts");
    let pem = sandbox.rsa_public_pem().to_owned();
    let view = sandbox.world().view();
    let (chat, alice) = (view.chats[0].id, view.chats[0].members[0].id);
    let id = sandbox.world().say(chat, alice, "remember me").expect("posted");
    sandbox.stop().await;

    let sandbox = Sandbox::start(config).await.expect("starts again");
    assert_eq!(sandbox.rsa_public_pem(), pem);
    let messages = sandbox
        .world()
        .messages(chat, Some(alice), id - 1, 10, false)
        .expect("messages");
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text, "remember me");
    assert!(sandbox.config_section().contains(&sandbox.address().to_string()));
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_port_says_who_gets_in_and_how_and_it_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SandboxConfig {
        second_port: Some(0),
        data: Some(folder.path().join("world")),
        seed: Some(Seed::example().expect("an example")),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config.clone()).await.expect("starts");
    assert_eq!(sandbox.centres().keys().copied().collect::<Vec<i32>>(), [2, 4]);
    trunkline::config::Config::from_text(&sandbox.config_section()).expect("both are in it");
    let control = Control::new(&sandbox);
    let did = async |method: &str, path: &str, body: Value| {
        let (status, text) = control.ask(method, path, Some(body)).await;
        let value: Value = serde_json::from_str(&text).expect("JSON");
        (status, value["error"].as_str().map(str::to_owned))
    };
    let refused = |status, name: &str| (status, Some(name.to_owned()));
    let alice = "/users/+999661000001";
    let secret = json!({"password": "x", "hint": "a letter"});
    assert_eq!(
        did("PUT", &format!("{alice}/password"), secret.clone()).await,
        (200, None)
    );
    assert_eq!(did("PUT", "/users/bob_b/password", secret).await, (200, None));
    assert_eq!(
        did("DELETE", "/users/bob_b/password", json!(null)).await,
        (200, None)
    );
    assert_eq!(
        did("PUT", &format!("{alice}/home"), json!({"dc": 4})).await,
        (200, None)
    );
    let nowhere = did("PUT", &format!("{alice}/home"), json!({"dc": 3})).await;
    assert_eq!(nowhere, refused(422, "DC_ID_INVALID"));
    let scan = did("POST", &format!("{alice}/logins"), json!({"token": "AAAA"})).await;
    assert_eq!(scan, refused(422, "AUTH_TOKEN_INVALID"));
    assert_eq!(
        did("GET", "/users/%2B999661000001/logins", json!(null)).await,
        (200, None)
    );
    assert_eq!(
        did("DELETE", &format!("{alice}/logins/7"), json!(null)).await,
        refused(422, "HASH_INVALID")
    );
    assert_eq!(
        did("DELETE", &format!("{alice}/logins/x"), json!(null)).await,
        refused(400, "INVALID_REQUEST")
    );
    assert_eq!(did("PUT", "/users/carol/ban", json!(null)).await, (200, None));
    assert_eq!(
        did("PUT", "/users/nobody/ban", json!(null)).await,
        refused(422, "USERNAME_NOT_OCCUPIED")
    );
    assert_eq!(
        did("GET", &format!("{alice}/nothing"), json!(null)).await,
        refused(404, "NOT_FOUND")
    );
    let plan = json!({"ways": ["email", "sms"], "future_tokens": true});
    assert_eq!(did("PUT", "/codes/999662000002", plan).await, (200, None));
    for wrong in [json!({"ways": ["pigeon"]}), json!({"refuse": "X", "ways": []})] {
        let answer = did("PUT", "/codes/999662000002", wrong).await;
        assert_eq!(answer, refused(400, "INVALID_REQUEST"));
    }
    let twice = json!({"ways": ["sms", "sms"]});
    assert_eq!(
        did("PUT", "/codes/999662000002", twice).await,
        refused(422, "WAY_TWICE")
    );
    for word in ["frozen", "limited"] {
        let path = format!("/users/carol/{word}");
        for method in ["PUT", "DELETE"] {
            assert_eq!(did(method, &path, json!(null)).await, (200, None), "{path}");
        }
    }
    let place = sandbox.world().view().chats.into_iter();
    let place = place.map(|chat| chat.id).find(|id| *id < -1_000_000_000_000);
    let place = format!("/chats/{}", place.expect("a channel"));
    for (path, wish) in [
        ("rights", json!({"forbidden": ["photos", "polls"]})),
        ("slow_mode", json!({"seconds": 30})),
        ("price", json!({"stars": 3})),
    ] {
        assert_eq!(
            did("PUT", &format!("{place}/{path}"), wish).await,
            (200, None),
            "{path}"
        );
    }
    assert_eq!(did("PUT", "/limits", json!({"factor": 60})).await, (200, None));
    let limits = control.get("/limits").await;
    assert_eq!(
        (&limits["on"], &limits["factor"], &limits["inside"]),
        (&json!(true), &json!(60), &json!(0))
    );
    assert_eq!(
        did("PUT", "/limits", json!({"factor": 0})).await,
        refused(400, "INVALID_REQUEST")
    );
    assert_eq!(did("DELETE", "/limits", json!(null)).await, (200, None));
    let flood = json!({"refuse": "PHONE_NUMBER_FLOOD"});
    assert_eq!(did("PUT", "/codes/999662000002", flood).await, (200, None));
    let set = json!({"login_token_life": 500});
    assert_eq!(did("PATCH", "/settings", set).await, (200, None));
    assert_eq!(
        did("PATCH", "/settings", json!({"x": 1})).await,
        refused(400, "INVALID_REQUEST")
    );
    for (method, path, wrong) in [
        ("PATCH", "/settings", json!({"code_life": i64::MAX})),
        ("PATCH", "/settings", json!({"preview_delay": -1})),
        ("PATCH", "/settings", json!({"events_kept": -5})),
        ("PUT", "/weather", json!({"seed": 1, "gusts": -1})),
    ] {
        let answer = did(method, path, wrong).await;
        assert_eq!(answer, refused(400, "INVALID_REQUEST"), "{path}");
    }
    sandbox.stop().await;

    let alone = SandboxConfig {
        second_port: None,
        ..config.clone()
    };
    for (config, home) in [(config, 4), (alone, 2)] {
        let sandbox = Sandbox::start(config).await.expect("starts again");
        let users = sandbox.world().view().users;
        let of = |name: &str| users.iter().find(|user| user.username.as_deref() == Some(name));
        let (alice, bob, carol) = (
            of("alice").expect("alice"),
            of("bob_b").expect("bob"),
            of("carol"),
        );
        assert_eq!(
            (alice.dc, alice.password, bob.dc, bob.password),
            (home, true, 2, false)
        );
        assert!(carol.is_some_and(|carol| carol.banned));
        assert_eq!(sandbox.world().settings().login_token_life, 500);
        sandbox.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_port_changes_people_and_chats_themselves() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("starts");
    let control = Control::new(&sandbox);
    let mut made = Vec::new();
    for name in ["Ann", "Bob"] {
        let user = control.post("/users", json!({"first_name": name})).await;
        made.push(user["id"].as_i64().expect("a number"));
    }
    let (ann, bob) = (made[0], made[1]);
    let mut chats = Vec::new();
    for kind in ["group", "channel"] {
        let chat = json!({"kind": kind, "title": "Team", "creator": ann, "members": [bob]});
        chats.push(
            control.post("/chats", chat).await["id"]
                .as_i64()
                .expect("a number"),
        );
    }
    let (group, channel) = (chats[0], chats[1]);
    let put = async |method: &str, path: String, body: Value| {
        let (status, text) = control.ask(method, &path, Some(body)).await;
        assert_eq!(status, 200, "{method} {path}: {text}");
    };
    put(
        "PATCH",
        format!("/users/{bob}"),
        json!({"first_name": "Robert", "picture": 1}),
    )
    .await;
    put(
        "PUT",
        format!("/chats/{group}/members/{bob}"),
        json!({"role": "admin"}),
    )
    .await;
    put(
        "PUT",
        format!("/chats/{channel}/members/{bob}"),
        json!({"role": "banned"}),
    )
    .await;
    put(
        "PUT",
        format!("/chats/{channel}/members/{bob}"),
        json!({"role": "member"}),
    )
    .await;
    put(
        "PUT",
        format!("/chats/{channel}/username"),
        json!({"username": "the_team"}),
    )
    .await;
    put(
        "PUT",
        format!("/chats/{ann}/collectibles"),
        json!({"names": [{"name": "rare"}]}),
    )
    .await;
    put("PUT", "/names/rare".to_owned(), json!({"to": bob})).await;
    put(
        "PUT",
        format!("/chats/{channel}/marks"),
        json!({"verified": true}),
    )
    .await;
    put("PUT", format!("/chats/{channel}/picture"), json!({"generate": 2})).await;
    put("POST", format!("/chats/{channel}/cleared"), json!({"user": bob})).await;
    let post = json!({"from": ann, "text": "look"});
    let posted = control.post(&format!("/chats/{channel}/messages"), post).await;
    let reaction = format!("/chats/{channel}/messages/{}/reactions", posted["items"][0]["id"]);
    put("POST", reaction.clone(), json!({"from": bob, "emoji": "👍"})).await;
    let held = control.get(&format!("/chats/{channel}/messages?since=2")).await;
    assert_eq!(held["items"][0]["reactions"]["👍"], 1, "{held}");
    assert_eq!(held["items"][0]["edited_at"], json!(null));
    put("POST", reaction, json!({"from": bob, "emoji": null})).await;
    let path = format!("/chats/{group}/migration");
    let place = control.post(&path, json!({})).await["id"]
        .as_i64()
        .expect("a number");
    put(
        "PUT",
        format!("/chats/{place}/hidden_history"),
        json!({"hidden": true}),
    )
    .await;
    put("PUT", "/weather".to_owned(), json!({"seed": 5})).await;
    assert_eq!(control.get("/weather").await["seed"], json!(5));
    assert_eq!(control.ask("DELETE", "/weather", None).await.0, 200);
    let seen = control.get("/world").await;
    let users = seen["users"].as_array().expect("a list");
    assert!(users.iter().any(|user| user["first_name"] == "Robert"));
    assert_eq!(
        control.ask("DELETE", &format!("/chats/{channel}"), None).await.0,
        200
    );
    assert_eq!(control.ask("DELETE", &format!("/users/{bob}"), None).await.0, 200);
    let late = json!({"from": ann, "text": "still there?"});
    let (status, text) = control
        .ask("POST", &format!("/chats/{bob}/messages"), Some(late))
        .await;
    assert_eq!(
        (status, text.contains("INPUT_USER_DEACTIVATED")),
        (422, true),
        "{text}"
    );
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forums_hidden_edits_and_pins_are_made_from_outside_and_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SandboxConfig {
        data: Some(folder.path().join("world")),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config.clone()).await.expect("starts");
    let control = Control::new(&sandbox);
    let (ann, bob) = (
        sandbox.world().user("+15550001", "Ann").expect("a user"),
        sandbox.world().user("+15550002", "Bob").expect("a user"),
    );
    let chat = json!({"kind": "supergroup", "title": "Team", "creator": ann, "members": [bob]});
    let chat = control.post("/chats", chat).await["id"]
        .as_i64()
        .expect("a number");
    let done = |method: &'static str, path: String, body: Value| {
        let control = &control;
        async move {
            let (status, text) = control.ask(method, &path, Some(body)).await;
            assert_eq!(status, 200, "{path}: {text}");
        }
    };
    done("PUT", format!("/chats/{chat}/forum"), json!({"enabled": true})).await;
    let topic = json!({"from": ann, "title": "News"});
    let topic = control.post(&format!("/chats/{chat}/topics"), topic).await["id"].clone();
    let text = json!({"from": bob, "thread": topic, "text": "see https://a.example"});
    let post = control.post(&format!("/chats/{chat}/messages"), text).await["items"][0].clone();
    assert_eq!((&post["thread"], &post["reply_to"]), (&topic, &Value::Null));
    let renamed = json!({"from": ann, "title": "Old news"});
    done("PATCH", format!("/chats/{chat}/topics/{topic}"), renamed).await;
    let path = format!("/chats/{chat}/messages/{}", post["id"]);
    done(
        "POST",
        format!("{path}/hidden_edit"),
        json!({"keyboard": "Well?"}),
    )
    .await;
    done(
        "POST",
        format!("{path}/reactions"),
        json!({"from": ann, "emoji": "👍"}),
    )
    .await;
    done("PUT", format!("/users/{ann}/pinned"), json!({"chats": [chat]})).await;
    let muted = json!({"role": "muted", "until": 2_000_000_000});
    done("PUT", format!("/chats/{chat}/members/{bob}"), muted).await;
    sandbox.stop().await;

    let sandbox = Sandbox::start(config).await.expect("starts again");
    let control = Control::new(&sandbox);
    let world = control.get("/world").await;
    assert_eq!(world["chats"][0]["topics"][topic.to_string()], "Old news");
    let all = control.get(&format!("/chats/{chat}/messages?since=1")).await;
    let kept = all["items"].as_array().expect("a list");
    let kept = kept.iter().find(|it| it["id"] == post["id"]).expect("the post");
    assert_eq!((&kept["thread"], &kept["edited_at"]), (&topic, &Value::Null));
    assert_eq!(
        (&kept["media"]["kind"], &kept["reactions"]["👍"]),
        (&json!("web_page"), &json!(1))
    );
    let gone = control
        .ask("DELETE", &format!("/chats/{chat}/topics/{topic}"), None)
        .await;
    assert_eq!(gone, (200, r#"{"deleted":3}"#.to_owned()));
    sandbox.stop().await;
}
