//! A login over real MTProto that hears pushes: what another client of the sandbox is told, as records of the schema.

use std::collections::VecDeque;

use grammers_tl_types as tl;
use tl::{Deserializable, RemoteCall, enums, functions as f, types};

use crate::sandbox_wire::client::{Client, answer_to, introduced};
use crate::stage::Stage;

/// What is gathered is told by then.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(80);

/// A logged-in session.
pub struct Login {
    wire: Client,
    /// Updates that stood behind the one that was waited for.
    rest: VecDeque<(enums::Update, Told)>,
}

/// What is told at once: updates with the users and chats that they name.
#[derive(Clone, Debug)]
pub struct Told {
    pub updates: Vec<enums::Update>,
    pub users: Vec<enums::User>,
    pub chats: Vec<enums::Chat>,
}

impl Login {
    /// Logs an account in by code.
    pub async fn new(stage: &Stage, phone: &str) -> Self {
        let mut wire = Client::begin(stage.address(), &stage.public_key()).await;
        let sent = wire
            .call(&introduced(f::auth::SendCode {
                phone_number: phone.to_owned(),
                api_id: 1,
                api_hash: "x".to_owned(),
                settings: settings(),
            }))
            .await
            .expect("a code is sent");
        let enums::auth::SentCode::Code(sent) = sent else {
            panic!("another way in")
        };
        let code = stage.handle().code(phone).expect("a code");
        wire.call(&f::auth::SignIn {
            phone_number: phone.to_owned(),
            phone_code_hash: sent.phone_code_hash,
            phone_code: Some(code),
            email_verification: None,
        })
        .await
        .expect("logged in");
        let rest = VecDeque::new();
        let mut login = Self { wire, rest };
        login.ask(&f::updates::GetState {}).await;
        login
    }

    /// A call and its answer.
    pub async fn call<F: RemoteCall>(&mut self, function: &F) -> Result<F::Return, String> {
        self.wire.call(function).await.map_err(|(_, name)| name)
    }

    /// A call that is refused; the code and the name.
    pub async fn refused<F: RemoteCall>(&mut self, function: &F) -> (i32, String) {
        self.wire.call(function).await.err().expect("refused")
    }

    /// A call that is not refused.
    pub async fn ask<F: RemoteCall>(&mut self, function: &F) -> F::Return {
        self.call(function).await.expect("not refused")
    }

    /// Sends a call without waiting for its answer; its number.
    pub async fn begin(&mut self, call: &[u8]) -> i64 {
        self.wire.send(call).await
    }

    /// The answers to calls under way, in the order of the calls.
    pub async fn answers(&mut self, calls: Vec<i64>) -> Vec<Result<Vec<u8>, String>> {
        let mut answers = vec![None; calls.len()];
        while answers.iter().any(Option::is_none) {
            let message = self.wire.next().await;
            for (call, answer) in calls.iter().zip(&mut answers) {
                if let Some(result) = answer_to(&message, *call) {
                    *answer = Some(match enums::RpcError::from_bytes(&result) {
                        Ok(enums::RpcError::Error(error)) => Err(error.error_message),
                        Err(_) => Ok(result),
                    });
                }
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Several calls at once, and their answers in the order of the calls.
    pub async fn at_once(&mut self, calls: Vec<Vec<u8>>) -> Vec<Result<Vec<u8>, String>> {
        let mut under_way = Vec::new();
        for call in calls {
            under_way.push(self.begin(&call).await);
        }
        self.answers(under_way).await
    }

    /// The account's state.
    pub async fn state(&mut self) -> types::updates::State {
        let enums::updates::State::State(state) = self.ask(&f::updates::GetState {}).await;
        state
    }

    /// What was missed since a state.
    pub async fn difference(&mut self, since: &types::updates::State) -> Told {
        let request = f::updates::GetDifference {
            pts: since.pts,
            pts_limit: None,
            pts_total_limit: None,
            date: since.date,
            qts: since.qts,
            qts_limit: None,
        };
        match self.ask(&request).await {
            enums::updates::Difference::Difference(found) => Told {
                updates: found.other_updates,
                users: found.users,
                chats: found.chats,
            },
            enums::updates::Difference::Empty(_) => Told {
                updates: Vec::new(),
                users: Vec::new(),
                chats: Vec::new(),
            },
            other => panic!("another difference: {other:?}"),
        }
    }

    /// All updates that were pushed up to now, and those that are gathered still.
    pub async fn pushed(&mut self) -> Vec<enums::Update> {
        tokio::time::sleep(MOMENT).await;
        let rest = self.wire.rest().await;
        let containers = rest
            .iter()
            .filter_map(|message| enums::Updates::from_bytes(&message.body).ok());
        containers
            .filter_map(told)
            .flat_map(|told| told.updates)
            .collect()
    }

    /// Waits for a container of the form that `wanted` knows.
    pub async fn hear_container<T>(&mut self, wanted: impl Fn(enums::Updates) -> Option<T>) -> T {
        self.wire
            .wait(|message| wanted(enums::Updates::from_bytes(&message.body).ok()?))
            .await
    }

    /// Waits for an update of the kind that `wanted` knows; answers it and the container in which it came.
    pub async fn hear<T>(&mut self, wanted: impl Fn(&enums::Update) -> Option<T>) -> (T, Told) {
        loop {
            while let Some((update, told)) = self.rest.pop_front() {
                if let Some(found) = wanted(&update) {
                    return (found, told);
                }
            }
            let told = self
                .wire
                .wait(|message| told(enums::Updates::from_bytes(&message.body).ok()?))
                .await;
            let updates = told.updates.clone().into_iter();
            self.rest.extend(updates.map(|update| (update, told.clone())));
        }
    }
}

/// The parts of a container.
pub fn told(container: enums::Updates) -> Option<Told> {
    let (updates, users, chats) = match container {
        enums::Updates::Updates(it) => (it.updates, it.users, it.chats),
        enums::Updates::Combined(it) => (it.updates, it.users, it.chats),
        enums::Updates::UpdateShort(it) => (vec![it.update], Vec::new(), Vec::new()),
        _ => return None,
    };
    Some(Told {
        updates,
        users,
        chats,
    })
}

impl Told {
    /// Whether an update of the kind that `wanted` knows is there.
    pub fn has(&self, wanted: impl Fn(&enums::Update) -> bool) -> bool {
        self.updates.iter().any(wanted)
    }

    /// The record of a channel that the account may look into.
    pub fn channel(&self, id: i64) -> types::Channel {
        match self.chat(id) {
            enums::Chat::Channel(channel) => channel,
            other => panic!("another chat: {other:?}"),
        }
    }

    /// The record of a basic group that the account was in.
    pub fn group(&self, id: i64) -> types::Chat {
        match self.chat(id) {
            enums::Chat::Chat(group) => group,
            other => panic!("another chat: {other:?}"),
        }
    }

    /// The record of a user.
    pub fn user(&self, id: i64) -> types::User {
        let found = self.users.iter().find_map(|user| match user {
            enums::User::User(user) if user.id == id => Some(user.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no user {id}: {self:?}"))
    }

    /// The record of a chat.
    pub fn chat(&self, id: i64) -> enums::Chat {
        let found = self.chats.iter().find(|chat| chat.id() == id);
        found.unwrap_or_else(|| panic!("no chat {id}: {self:?}")).clone()
    }
}

fn settings() -> enums::CodeSettings {
    types::CodeSettings {
        allow_flashcall: false,
        current_number: false,
        allow_app_hash: false,
        allow_missed_call: false,
        allow_firebase: false,
        unknown_number: false,
        logout_tokens: None,
        token: None,
        app_sandbox: None,
    }
    .into()
}
