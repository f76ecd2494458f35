//! `trunkline login` as somebody at a terminal uses it, over the API of a running daemon.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::sandbox::world::ways::{Plan, Way};

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

    /// Waits for a line, or a question, that holds these words.
    async fn tells(self, words: &'static str) -> (Self, String) {
        let wait = move || {
            let Self { process, mut told } = self;
            let mut line = String::new();
            loop {
                let mut byte = [0];
                told.read_exact(&mut byte)
                    .unwrap_or_else(|_| panic!("it ended before it said {words:?}"));
                line.push(char::from(byte[0]));
                let ended = line.ends_with('\n') || line.ends_with(": ");
                if ended && line.contains(words) {
                    return (Self { process, told }, line.trim().to_owned());
                }
                if line.ends_with('\n') {
                    line.clear();
                }
            }
        };
        tokio::task::spawn_blocking(wait).await.expect("no panic")
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.process);
        rustix::process::kill_process(id, signal).expect("it is there");
    }

    /// What it says at a bad end.
    async fn failure(mut self) -> String {
        // Waiting would close it, which is an end of its own.
        let input = self.process.stdin.take();
        let process = self.process;
        let ended = tokio::task::spawn_blocking(move || process.wait_with_output());
        let ended = ended.await.expect("no panic").expect("it ended");
        drop(input);
        assert_eq!(ended.status.code(), Some(1));
        std::io::read_to_string(self.told).expect("text")
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
    let (login, link) = login.tells("tg://login?token=").await;
    stage.handle().accept_login(ann, &link).expect("scanned");
    let (mut login, _) = login.tells("a pet").await;
    login.types("wrong horse");
    login.types("correct horse ");
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

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_a_phrase_is_told_how_it_begins() {
    let stage = Stage::new().await;
    let ann = stage.user(PHONE, "Ann");
    let plan = Plan {
        ways: vec![Way::Phrase],
        ..Plan::default()
    };
    stage.handle().plan_codes(PHONE, plan).expect("planned");
    let daemon = stage.daemon().await;
    let login = Login::begin(&daemon, &["--phone", PHONE]).await;
    let (mut login, asked) = login.tells("Code from Telegram").await;
    let code = stage.handle().code(PHONE).expect("a code is sent");
    let beginning = code.split(' ').next().expect("a word");
    assert_eq!(
        asked,
        format!("Code from Telegram (the phrase that begins with {beginning}):")
    );
    login.types(&format!("  {code} "));
    assert_eq!(login.answer().await["user_id"], ann);
    daemon.stop(std::time::Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_leaves_nothing_behind() {
    let stage = Stage::new().await;
    stage.user(PHONE, "Ann");
    let daemon = stage.daemon().await;
    let caller = Caller::new(&daemon, Scope::Read, None).await;
    let left = async || {
        let answer = caller.get("/api/sessions").await.ok();
        answer["items"].as_array().expect("a list").len()
    };
    // Ctrl-C, a closed terminal, and an end of the input, each in the middle of it.
    for (arguments, question, signal) in [
        (&["--agent", "5"][..], "tg://login", Some(Signal::INT)),
        (&["--agent", "5", "--phone", PHONE], "Code", Some(Signal::HUP)),
        (&["--phone", PHONE], "Code", Some(Signal::INT)),
        (&["--phone", PHONE], "Code", None),
    ] {
        let (mut login, _) = Login::begin(&daemon, arguments).await.tells(question).await;
        assert_eq!(left().await, 1, "{arguments:?}");
        match signal {
            Some(signal) => login.signal(signal),
            None => drop(login.process.stdin.take()),
        }
        let told = login.failure().await;
        assert_eq!(told.contains("cancelled"), signal.is_some(), "{told}");
        // An agent's session goes right after the answer.
        let begun = std::time::Instant::now();
        while left().await > 0 {
            assert!(begun.elapsed().as_secs() < 20, "{arguments:?}: {told}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    daemon.stop(std::time::Duration::from_secs(10)).await;
}

/// A proxy named in the environment would read the key, and a redirection would send it elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_goes_to_the_daemon_alone() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = elsewhere.local_addr().expect("an address");
    let redirects = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", redirects.local_addr().expect("an address"));
    let asked = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["tree", "--url", &url])
            .env("TRUNKLINE_API_KEY", "a-key")
            .envs(["http_proxy", "HTTP_PROXY", "all_proxy"].map(|name| (name, format!("http://{address}"))))
            .output()
    });
    let (mut stream, _) = tokio::select! {
        asked = redirects.accept() => asked.expect("a caller"),
        _ = elsewhere.accept() => panic!("the proxy is asked"),
    };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    let found = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(found.as_bytes()).await.expect("written");
    let ended = tokio::select! {
        ended = asked => ended.expect("no panic").expect("it ended"),
        _ = elsewhere.accept() => panic!("it follows a redirection"),
    };
    assert_eq!(ended.status.code(), Some(1));
}
