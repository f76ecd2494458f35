//! `trunkline login` as somebody at a terminal uses it, over the API of a running daemon.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use trunkline::access::Scope;
use trunkline::app::Daemon;

use crate::control_api::caller::Caller;
use crate::stage::Stage;

const PHONE: &str = "+989120000001";

/// The command, with what it tells on standard error.
struct Login {
    process: Child,
    told: BufReader<ChildStderr>,
}

impl Login {
    async fn begin(daemon: &Daemon, arguments: &[&str]) -> Self {
        let caller = Caller::new(daemon, Scope::Admin, None).await;
        let url = format!("http://{}", daemon.api_address().await);
        let mut process = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["login", "--json", "--url", &url])
            .args(arguments)
            .env("TRUNKLINE_API_KEY", &caller.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let told = BufReader::new(process.stderr.take().expect("piped"));
        Self { process, told }
    }

    /// Waits for a line that holds these words.
    async fn tells(self, words: &'static str) -> (Self, String) {
        let wait = move || {
            let Self { process, mut told } = self;
            loop {
                let mut line = String::new();
                let read = told.read_line(&mut line).expect("text");
                assert!(read > 0, "it ended before it said {words:?}");
                if line.contains(words) {
                    return (Self { process, told }, line.trim().to_owned());
                }
            }
        };
        tokio::task::spawn_blocking(wait).await.expect("no panic")
    }

    fn types(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it listens");
    }

    /// Its answer, once it has ended well.
    async fn answer(self) -> Value {
        let process = self.process;
        let ended = tokio::task::spawn_blocking(move || process.wait_with_output());
        let ended = ended.await.expect("no panic").expect("it ended");
        let told = std::io::read_to_string(self.told).expect("text");
        assert!(ended.status.success(), "{}: {told}", ended.status);
        serde_json::from_slice(&ended.stdout).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_scans_and_types_the_password() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    stage
        .handle()
        .set_password(ann, "correct horse ", "a pet")
        .expect("set");
    let daemon = stage.daemon().await;
    let login = Login::begin(&daemon, &["--agent", "5"]).await;
    let (mut login, link) = login.tells("tg://login?token=").await;
    login.types("wrong horse");
    login.types("correct horse ");
    stage.handle().accept_login(ann, &link).expect("scanned");
    let session = login.answer().await;
    assert_eq!(
        (&session["agent_id"], &session["user_id"]),
        (&5.into(), &ann.into())
    );
    daemon.stop(std::time::Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_types_the_code() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let mut login = Login::begin(&daemon, &["--agent", "-7", "--phone", PHONE]).await;
    let code = async {
        loop {
            if let Some(code) = stage.handle().code(PHONE) {
                return code;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let code = tokio::time::timeout(std::time::Duration::from_secs(30), code).await;
    login.types("00000");
    login.types(&format!(" {} ", code.expect("a code is sent")));
    let session = login.answer().await;
    assert_eq!(
        (&session["agent_id"], &session["user_id"]),
        (&(-7).into(), &ann.into())
    );
    daemon.stop(std::time::Duration::from_secs(10)).await;
}
