//! Nothing of a login is written down: with all its logs on, neither token nor code nor password nor number.

use serde_json::json;

use crate::control_api::caller::Caller;
use crate::secrets::Process;
use crate::stage::Stage;

const PHONE: &str = "+989127465831";
const PASSWORD: &str = "quicksilver-harmony";
const HINT: &str = "velvet-thunderbolt";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_nothing_of_a_login() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    stage.handle().set_password(ann, PASSWORD, HINT).expect("set");
    let (config, data) = stage.files();
    let mut text = std::fs::read_to_string(&config).expect("a file");
    text += "[log]\nlevel = \"debug,trunkline=trace\"\n";
    std::fs::write(&config, text).expect("written");
    let log = data.with_file_name("daemon.log");
    let process = Process::start(&config, &data, log.clone()).await;
    let key = std::fs::read_to_string(data.join("admin.key")).expect("the first key");
    let caller = Caller::at(&process.base, key.trim());
    let post = async |route: &str, body| caller.post(&format!("/api/telegram/{route}"), body).await;

    let shown = post("request-qr", json!({"agent_id": 1, "phone": PHONE}))
        .await
        .ok();
    let session = shown["session_id"].clone();
    let token = shown["login_url"].as_str().expect("a link").to_owned();
    let code = stage
        .world
        .world(|world| world.keys.codes["989127465831"].code.clone());
    let wrong = json!({"session_id": session, "code": "98761"});
    assert_eq!(post("verify-code", wrong).await.status, 400);
    let right = json!({"session_id": session, "code": code});
    post("verify-code", right).await.ok();
    let wrong = json!({"session_id": session, "password": "wrong-quicksilver"});
    let wrong = post("verify-password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "PASSWORD_HASH_INVALID"));
    let right = json!({"session_id": session, "password": PASSWORD});
    post("verify-password", right).await.ok();
    let listed = caller.get("/api/telegram/accounts").await.ok().to_string();
    drop(process);

    let log = std::fs::read_to_string(log).expect("a log");
    assert!(
        log.contains("/api/telegram/verify-password"),
        "it tells of requests"
    );
    let token = token.split_once('=').expect("a token").1;
    let digits = &PHONE[1..];
    for secret in [
        token,
        &format!("\"{code}\""),
        "98761",
        PASSWORD,
        "wrong-quicksilver",
        HINT,
        digits,
    ] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    assert!(!listed.contains(token) && !listed.contains(PASSWORD));
}
