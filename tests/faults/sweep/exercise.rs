//! What an account is made to do so that the daemon calls a method, and how its account gets on again.
//!
//! Each work is done twice within the time that is watched, so that a second call can be refused.

use std::sync::Mutex;

use reqwest::Method;
use serde_json::{Value, json};

use super::cases::Case;
use crate::client::{Api, World};
use crate::scene::id;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Texts, photos or albums are posted in the source, and copied.
    Text,
    Photo,
    Album,
    /// Texts are posted in the source, and forwarded.
    Forward,
    /// What was copied is edited, or deleted, in the source.
    Edit,
    Delete,
    /// The same, copied into a basic group.
    DeleteInGroup,
    /// The references of the source's photos are dead: a channel's, a basic group's.
    Reference,
    ReferenceInGroup,
    /// Pushes of a basic group, or of a channel, are left out.
    Gap,
    ChannelGap,
    /// The channel's sequence is not known any more.
    ChannelPresent,
    /// A channel's difference is too long: its history is read.
    History,
    /// The same, with a message that was deleted meanwhile.
    HistoryGone,
    /// The pair is paused and resumed, which has its chats looked at anew: a channel, a basic group.
    Look,
    LookAtGroup,
    /// The session is started anew.
    Restart,
    /// It is logged in: with a code, with a second code, with a code and a password, with a QR.
    LogIn,
    Resend,
    Password,
    LogOut,
    /// Its key is replaced.
    Rotate,
    /// Its account moves to another data centre.
    Home,
    /// A program asks for something.
    Upload,
    UploadLarge,
    Search,
    Contact,
    Resolve,
}

impl Work {
    /// The methods that are swept, each with what makes the daemon call it.
    pub const METHODS: &[(&str, Self)] = &[
        ("account.getPassword", Self::Password),
        ("account.resetAuthorization", Self::Rotate),
        ("auth.acceptLoginToken", Self::Rotate),
        ("auth.checkPassword", Self::Password),
        ("auth.exportAuthorization", Self::Home),
        ("auth.logOut", Self::LogOut),
        ("auth.resendCode", Self::Resend),
        ("auth.sendCode", Self::LogIn),
        ("auth.signIn", Self::LogIn),
        ("channels.deleteMessages", Self::Delete),
        ("channels.getChannels", Self::Look),
        ("channels.getFullChannel", Self::HistoryGone),
        ("channels.getMessages", Self::Reference),
        ("contacts.resolveUsername", Self::Resolve),
        ("messages.deleteMessages", Self::DeleteInGroup),
        ("messages.editMessage", Self::Edit),
        ("messages.forwardMessages", Self::Forward),
        ("messages.getChats", Self::LookAtGroup),
        ("messages.getDialogs", Self::LogIn),
        ("messages.getHistory", Self::History),
        ("messages.getMessages", Self::ReferenceInGroup),
        ("messages.getPeerDialogs", Self::ChannelPresent),
        ("messages.search", Self::Search),
        ("messages.sendMedia", Self::Photo),
        ("messages.sendMessage", Self::Text),
        ("messages.sendMultiMedia", Self::Album),
        ("messages.uploadMedia", Self::Upload),
        ("updates.getChannelDifference", Self::ChannelGap),
        ("updates.getDifference", Self::Gap),
        ("updates.getState", Self::Restart),
        ("upload.saveBigFilePart", Self::UploadLarge),
        ("upload.saveFilePart", Self::Upload),
        ("users.getUsers", Self::Contact),
    ];

    /// Whether the work is the account's first login: it has no session before.
    pub fn logs_in(self) -> bool {
        matches!(self, Self::LogIn | Self::Resend | Self::Password)
    }

    /// Whether the source is a basic group.
    fn in_group(self) -> bool {
        matches!(self, Self::Gap | Self::ReferenceInGroup | Self::LookAtGroup)
    }

    /// Whether the daemon forwards while it is watched.
    pub fn forwards(self) -> bool {
        matches!(self, Self::Text | Self::Photo | Self::Album | Self::Forward)
    }

    /// Whether a program asks, and hears an answer.
    pub fn is_asked_for(self) -> bool {
        matches!(
            self,
            Self::Upload | Self::UploadLarge | Self::Search | Self::Contact | Self::Resolve
        )
    }
}

/// The name of a channel that anybody may find.
pub const PUBLIC: &str = "sweep_public";

/// The account's password, where it has one.
const PASSWORD: &str = "correct horse";

/// An account at work, with its case; without one it is a neighbour that nothing happens to.
pub struct Account {
    pub case: Option<Case>,
    pub work: Work,
    pub phone: String,
    pub user: i64,
    pub session: String,
    pub source: i64,
    pub destination: i64,
    /// None before the session is logged in.
    pair: Mutex<Option<String>>,
    /// The fault's number.
    fault: Mutex<Option<u64>>,
    /// What programs were answered: statuses and bodies.
    answers: Mutex<Vec<(u16, Value)>>,
    said: Mutex<u32>,
    /// What was posted before anything went wrong: numbers and texts.
    before: Mutex<Vec<(i64, String)>>,
    author: i64,
    world: World,
    api: Api,
}

impl std::fmt::Display for Account {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pair = self.pair_id().unwrap_or_default();
        write!(
            to,
            "{} ({:?}, session {}, pair {pair})",
            self.phone, self.work, self.session
        )
    }
}

fn now<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Account {
    /// An account with all that its work needs; it is logged in unless that is its work.
    pub async fn made(
        number: usize,
        case: Option<Case>,
        work: Work,
        (world, api): (&World, &Api),
        author: i64,
    ) -> Self {
        let phone = format!("+99967{number:07}");
        let user = world.user(&phone, &format!("Account {number}")).await;
        let kind = if work.in_group() { "group" } else { "channel" };
        let source = world
            .chat(kind, &format!("Source {number}"), author, &[user])
            .await;
        let kind = if work == Work::DeleteInGroup {
            "group"
        } else {
            "channel"
        };
        let destination = world
            .chat(kind, &format!("Copies {number}"), user, &[author])
            .await;
        let new = json!({"name": phone.trim_start_matches('+')});
        let session = id(&api.ask(Method::POST, "/api/sessions", Some(new)).await);
        let account = Self {
            case,
            work,
            phone,
            user,
            session,
            source,
            destination,
            pair: Mutex::default(),
            fault: Mutex::default(),
            answers: Mutex::default(),
            said: Mutex::default(),
            before: Mutex::default(),
            author,
            world: world.clone(),
            api: api.clone(),
        };
        if work == Work::Password {
            account.world.password(user, PASSWORD).await;
        }
        if !work.logs_in() {
            assert!(account.log_in().await, "{}: logged in", account.phone);
            account.paired().await;
            account.prepare().await;
        }
        account
    }

    /// Makes the pair, if there is none yet.
    pub async fn paired(&self) {
        if now(&self.pair).is_some() {
            return;
        }
        let mode = if self.work == Work::Forward {
            "forward"
        } else {
            "copy"
        };
        let pair = json!({
            "name": self.phone.trim_start_matches('+'),
            "mode": mode,
            "source": {"session": self.session, "chat": self.source},
            "destination": {"session": self.session, "chat": self.destination},
        });
        if let Some((200..300, made)) = self.api.try_ask(Method::POST, "/api/pairs", Some(pair)).await {
            *now(&self.pair) = Some(id(&made));
        }
    }

    /// Posts what the work is about before anything goes wrong.
    async fn prepare(&self) {
        let about = [Work::Edit, Work::Delete, Work::DeleteInGroup, Work::HistoryGone];
        if about.contains(&self.work) {
            for _ in 0..2 {
                let (said, number) = (self.say().await, *now(&self.said));
                now(&self.before).push((said, self.text(number)));
            }
        }
    }

    /// Whether what was posted before stands in the destination.
    pub async fn is_ready(&self) -> bool {
        let wanted = now(&self.before).len();
        let copies = self.world.messages(self.destination).await;
        copies.iter().filter(|copy| copy.service.is_none()).count() >= wanted
    }

    fn number(&self) -> u32 {
        let mut said = now(&self.said);
        *said += 1;
        *said
    }

    async fn post(&self, mut message: Value) -> i64 {
        message["from"] = json!(self.author);
        self.world.post(self.source, message).await[0]
    }

    /// Says the next text in the source.
    pub async fn say(&self) -> i64 {
        let text = self.text(self.number());
        self.post(json!({"text": text})).await
    }

    fn text(&self, number: u32) -> String {
        format!("said №{}.{number}", self.user)
    }

    fn photo(&self) -> Value {
        let number = self.number();
        json!({
            "text": format!("photo №{}.{number}", self.user),
            "photo": {"generate": number, "width": 16, "height": 16},
        })
    }

    async fn fault(&self, mut fault: Value) {
        fault["account"] = json!(self.user);
        self.world.fault(fault).await;
    }

    async fn asks(&self, method: Method, path: &str, body: Option<Value>) {
        if let Some(answer) = self.api.try_ask(method, path, body).await {
            now(&self.answers).push(answer);
        }
    }

    /// Does the work once; `turn` counts from 0.
    pub async fn act(&self, turn: usize) {
        let session = &self.session;
        match self.work {
            Work::Text | Work::Forward => {
                self.say().await;
            }
            Work::Photo => {
                self.post(self.photo()).await;
            }
            Work::Album => {
                let album = json!({"album": [self.photo(), self.photo()]});
                self.post(album).await;
            }
            Work::Edit => {
                let (of, text) = now(&self.before)[turn % 2].clone();
                let text = format!("edited, {text}");
                self.world.edit(self.source, of, self.author, &text).await;
            }
            Work::Delete | Work::DeleteInGroup => {
                let (of, _) = now(&self.before)[turn % 2].clone();
                self.world.delete(self.source, of, self.author).await;
            }
            Work::Reference | Work::ReferenceInGroup => {
                self.fault(json!({"kind": "file_reference_expired", "method": "messages.sendMedia"}))
                    .await;
                self.post(self.photo()).await;
            }
            Work::Gap => {
                self.fault(json!({"kind": "gap"})).await;
                self.say().await;
                self.say().await;
            }
            Work::ChannelGap => {
                self.fault(json!({"kind": "gap", "chat": self.source})).await;
                self.say().await;
                self.say().await;
            }
            Work::ChannelPresent => {
                let lost = json!({"kind": "error", "code": 400, "name": "PERSISTENT_TIMESTAMP_INVALID",
                    "method": "updates.getChannelDifference"});
                self.fault(lost).await;
                self.fault(json!({"kind": "gap", "chat": self.source})).await;
                self.say().await;
                self.say().await;
            }
            Work::History => {
                let long = json!({"kind": "too_long", "method": "updates.getChannelDifference", "chat": self.source});
                self.fault(long).await;
                self.fault(json!({"kind": "gap", "chat": self.source})).await;
                self.say().await;
                self.say().await;
            }
            Work::HistoryGone => {
                let long = json!({"kind": "too_long", "method": "updates.getChannelDifference", "chat": self.source});
                self.fault(long).await;
                self.fault(json!({"kind": "gap", "chat": self.source})).await;
                let (of, _) = now(&self.before)[turn % 2].clone();
                self.world.delete(self.source, of, self.author).await;
                self.say().await;
            }
            Work::Look | Work::LookAtGroup => {
                let pair = self.pair_id().unwrap_or_default();
                for verb in ["pause", "resume"] {
                    let path = format!("/api/pairs/{pair}/{verb}");
                    self.asks(Method::POST, &path, None).await;
                }
            }
            Work::Restart => {
                let path = format!("/api/sessions/{session}/restart");
                self.asks(Method::POST, &path, None).await;
            }
            Work::LogIn | Work::Password => {
                self.log_in().await;
            }
            Work::Resend => {
                let path = format!("/api/sessions/{session}/login");
                let phone = json!({"phone": self.phone});
                self.asks(Method::POST, &path, Some(phone.clone())).await;
                self.asks(Method::POST, &path, Some(phone)).await;
            }
            Work::LogOut => {
                let path = format!("/api/sessions/{session}/logout");
                self.asks(Method::POST, &path, None).await;
            }
            Work::Rotate => {
                let path = format!("/api/telegram-auth/rotate-session?session_id={session}");
                self.asks(Method::POST, &path, Some(json!({}))).await;
            }
            Work::Home => {
                self.world.home(self.user, if turn == 0 { 4 } else { 2 }).await;
                self.say().await;
            }
            Work::Upload | Work::UploadLarge => {
                let size = if self.work == Work::Upload {
                    2_000
                } else {
                    11 << 20
                };
                self.upload(size).await;
            }
            Work::Search => {
                let path = format!(
                    "/api/telegram/messages/search?session_id={session}&chat_id={}&query=said",
                    self.source
                );
                self.asks(Method::GET, &path, None).await;
            }
            Work::Contact => {
                let path = format!("/api/telegram/contacts/{}?session_id={session}", self.user);
                self.asks(Method::GET, &path, None).await;
            }
            Work::Resolve => {
                let message = json!({"chat": format!("@{PUBLIC}"), "text": "hello"});
                let path = format!("/api/sessions/{session}/messages");
                self.asks(Method::POST, &path, Some(message)).await;
            }
        }
    }

    async fn upload(&self, size: usize) {
        // Into the account's Saved Messages: the destination is the pair's.
        let user = self.user.to_string();
        let fields = [
            ("session_id", self.session.as_str()),
            ("chat_id", &user),
            ("kind", "document"),
        ];
        let file = vec![7; size];
        let answer = self.api.form("/api/telegram/send-media", &fields, &file).await;
        now(&self.answers).extend(answer);
    }

    /// One attempt to log in with all that the login asks for; whether it succeeded.
    pub async fn log_in(&self) -> bool {
        let path = format!("/api/sessions/{}/login", self.session);
        let phone = Some(json!({"phone": self.phone}));
        let mut step = match self.api.try_ask(Method::POST, &path, phone).await {
            Some((200..300, step)) => step,
            Some(refused) => {
                now(&self.answers).push(refused);
                return false;
            }
            None => return false,
        };
        for _ in 0..3 {
            let (what, body) = match step["step"].as_str() {
                Some("complete") => return true,
                Some("input_code") => ("code", json!({"code": self.world.code(&self.phone).await})),
                Some("input_password") => ("password", json!({"password": PASSWORD})),
                _ => return false,
            };
            match self
                .api
                .try_ask(Method::POST, &format!("{path}/{what}"), Some(body))
                .await
            {
                Some((200..300, next)) => step = next,
                Some(refused) => {
                    now(&self.answers).push(refused);
                    return false;
                }
                None => return false,
            }
        }
        step["step"] == "complete"
    }

    /// Gives up a login that is under way.
    pub async fn cancel_login(&self) {
        let path = format!("/api/sessions/{}/login/cancel", self.session);
        let _ = self.api.try_ask(Method::POST, &path, None).await;
    }

    /// Starts the session anew, as a person would who knows that the account is well again.
    pub async fn started(&self) {
        let release = format!("/api/admin/sessions/{}/release", self.session);
        let _ = self.api.try_ask(Method::POST, &release, None).await;
        let restart = format!("/api/sessions/{}/restart", self.session);
        let _ = self.api.try_ask(Method::POST, &restart, None).await;
    }

    /// Resumes the pair if it stopped; whether it runs.
    pub async fn resumed(&self) -> bool {
        let Some(pair) = self.pair_id() else {
            return false;
        };
        let path = format!("/api/pairs/{pair}/resume");
        let answer = self.api.try_ask(Method::POST, &path, None).await;
        matches!(answer, Some((200..300, _)))
    }

    /// The pair, if it was made.
    pub fn pair_id(&self) -> Option<String> {
        now(&self.pair).clone()
    }

    /// The fault of the account's case.
    pub fn refuses(&self, fault: u64) {
        *now(&self.fault) = Some(fault);
    }

    /// Its number.
    pub fn fault_id(&self) -> u64 {
        now(&self.fault).unwrap_or(0)
    }

    /// What programs were answered so far.
    pub fn answered(&self) -> Vec<(u16, Value)> {
        now(&self.answers).clone()
    }
}
