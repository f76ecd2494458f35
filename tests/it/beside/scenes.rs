//! A scene for each way of Telegram, in which that way decides something. What comes of it is told like all else.

mod carried;
mod trouble;

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::base::{Code, Coded};
use trunkline::model::{ChatId, Entity, EntityKind, Message, MessageId, SessionState};
use trunkline::sandbox::people::Profile;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::marks::Marks;
use trunkline::sandbox::world::touching::Touch;
use trunkline::telegram::{Outgoing, OutgoingBody, OutgoingMedia, SentPart, TelegramError};

use super::{PHONE, Place, Play};
use crate::stage::{received, state, until};

/// The chats, by their places in the play's list.
const PRIVATE: usize = 0;
const FEW: usize = 1;
const NEWS: usize = 2;
const MANY: usize = 3;
const ALL: [usize; 4] = [PRIVATE, FEW, NEWS, MANY];

/// More than a part of a channel's difference holds.
const LONG: u32 = 130;

/// What is said so that others show that they missed something; nobody asks whether it is told itself.
pub const ASIDE: &str = "once more";

/// How long Ann's calls may wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// The scene of a way. Ways that any history reaches have none.
pub async fn play(play: &mut Play, name: &str) {
    match name {
        "final_with_updates" => play.missed_edits(),
        "timeout_when_final" | "too_long_beyond_limit" => play.missed_much(),
        "parts_move_alone" => play.missed_long_texts(),
        "told_while_away" => play.missed_chats().await,
        "too_long_names_pts" => play.announce(),
        "quiet_channels" | "untold_channels" => play.unseen_channel().await,
        "calls_side_by_side" => play.two_at_once().await,
        "many_options" => play.fault(json!({"kind": "disconnect", "account": play.ann})),
        "read_by_posting" | "unordered_answers" => play.answers().await,
        "repeat_keeps_pts" => play.repeats().await,
        "duplicate_while_sending" => play.repeats_at_once().await,
        "member_updates" => play.comers_and_goers(),
        "profile_updates" => play.new_names(),
        "contents_read" => play.listened().await,
        "file_references_end" | "numbered_file_references" => play.copies().await,
        "saved_messages_incoming" => play.notes().await,
        "signed_posts" => play.signed().await,
        "anonymous_admins" => play.anonymous(),
        "hidden_forwards" => play.hidden().await,
        "discussion_groups" => play.discussed(),
        "dialogs_by_date" | "hidden_tops" | "archive_in_all" => play.another_login(name).await,
        "spans_settled" | "all_found" | "emoji_of_subscribers" | "link_previews" => play.formatted().await,
        "user_migrate" => play.mover().await,
        "counters_told" => play.counted(),
        "protection_told" => play.protected(),
        "albums_apart" => play.albums(),
        "pictures_anew" | "part_rules" | "kinds_probed" => play.uploads().await,
        "messages_vanish" => play.vanishing().await,
        "replies_elsewhere" | "threads" => play.answered().await,
        "words_when_put_out" => play.put_out().await,
        "differences_fail" => play.failing_differences().await,
        "older_layers" => play.unreadable().await,
        _ => {}
    }
}

impl Play {
    fn fault(&self, fault: Value) {
        let fault = serde_json::from_value(fault).expect("a fault");
        self.world.fault(fault).expect("set");
    }

    /// Says something by the record that the control port takes; answers the number that its author sees.
    fn say(&self, chat: i64, message: Value) -> MessageId {
        let message = serde_json::from_value(message).expect("a message");
        self.world.post(chat, message).expect("posted")[0].id
    }

    /// A chat as Bob names it.
    fn named_by_bob(&self, chat: usize) -> i64 {
        match chat {
            PRIVATE => self.ann,
            _ => self.chat(chat),
        }
    }

    /// From now on nothing of a chat is told, until faults are cleared.
    fn deafen(&self, chat: usize) {
        let (ann, chat) = (self.ann, self.chat(chat));
        self.fault(json!({"kind": "gap", "account": ann, "chat": chat, "times": 0}));
    }

    fn missed_edits(&mut self) {
        let chat = self.chat(NEWS);
        let id = ["one", "two", "three"].map(|text| self.say(chat, json!({"from": self.bob, "text": text})));
        self.deafen(NEWS);
        let edit = |id, text| {
            self.world
                .edit(chat, id, self.bob, text, Vec::new())
                .expect("edited");
        };
        edit(id[0], "one again");
        self.world.delete(chat, id[1], self.bob).expect("deleted");
        let last = self.say(chat, json!({"from": self.bob, "text": "four"}));
        edit(last, "four again");
    }

    fn missed_much(&mut self) {
        self.deafen(MANY);
        let burst = self.world.burst(self.chat(MANY), &self.bob.into(), "much", LONG);
        burst.expect("posted");
    }

    fn missed_long_texts(&mut self) {
        self.deafen(PRIVATE);
        let word = "long ".repeat(800);
        for number in 0..150 {
            self.say(
                self.ann,
                json!({"from": self.bob, "text": format!("{word}{number}")}),
            );
        }
    }

    /// A channel that Ann comes into.
    fn new_channel(&self, title: &str) -> i64 {
        let (ann, bob) = (self.ann, self.bob);
        let id = self.stage.world.world(|world| {
            let id = world.add_channel(None, bob, title, true, &[]).expect("made");
            world.bring_in(bob, Peer::Channel(id), &[ann]).expect("let in");
            id
        });
        Peer::Channel(id).bot_api()
    }

    async fn missed_chats(&mut self) {
        self.fault(json!({"kind": "gap", "account": self.ann, "times": 0}));
        let chat = self.new_channel("Told late");
        self.world.clear_faults(None);
        self.fault(json!({"kind": "push_too_long", "account": self.ann}));
        self.known(chat).await;
        self.say(chat, json!({"from": self.bob, "text": "to those who are new"}));
    }

    /// Waits until the daemon knows a chat.
    async fn known(&self, chat: i64) {
        let telegram = &self.daemon.handles.telegram;
        let known = || {
            telegram
                .chat(self.session, ChatId(chat))
                .is_ok_and(|it| it.is_some())
        };
        until("the chat is known", known).await;
    }

    fn announce(&mut self) {
        self.deafen(NEWS);
        self.post(NEWS, "announced");
        self.world.clear_faults(None);
        self.fault(json!({"kind": "push_too_long", "account": self.ann, "chat": self.chat(NEWS)}));
    }

    /// What was not told shows by what comes later: it is spoken there until all is told.
    async fn unseen_channel(&mut self) {
        let since = self.next();
        let chat = self.new_channel("Unseen");
        self.known(chat).await;
        for number in 0..30 {
            self.say(
                chat,
                json!({"from": self.bob, "text": format!("unseen {number}")}),
            );
        }
        let said = self.look_round(since);
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.hear();
            if self.missing(&said).is_empty() {
                break;
            }
            self.say(chat, json!({"from": self.bob, "text": ASIDE}));
        }
    }

    /// Ann sends through the daemon under the next name.
    async fn send(&mut self, chat: i64, body: impl FnOnce(i64) -> OutgoingBody) -> Vec<SentPart> {
        self.named += 10;
        let body = body(self.named);
        // A connection may just be made anew: the same name is sent once.
        for _ in 0..50 {
            match self.try_send(chat, None, body.clone()).await {
                Err(error) if error.code() == Code::SessionUnavailable => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                answer => return answer.expect("sent"),
            }
        }
        panic!("the session stays away")
    }

    async fn try_send(
        &self,
        chat: i64,
        reply_to: Option<MessageId>,
        body: OutgoingBody,
    ) -> Result<Vec<SentPart>, TelegramError> {
        let outgoing = Outgoing {
            chat: ChatId(chat),
            topic: None,
            reply_to,
            silent: false,
            body,
        };
        // What was played before may have ended the connection.
        until("Ann is connected", || {
            state(&self.daemon, self.session) == SessionState::Connected
        })
        .await;
        let telegram = &self.daemon.handles.telegram;
        telegram.send(self.session, &outgoing, PATIENCE).await
    }

    async fn two_at_once(&mut self) {
        self.named += 10;
        let (one, other) = (text("side", self.named), text("by side", self.named + 1));
        let (here, there) = (self.chat(FEW), self.chat(MANY));
        let (one, other) = tokio::join!(self.try_send(here, None, one), self.try_send(there, None, other));
        one.and(other).expect("both are sent");
    }

    /// Ann answers what is unread, in a forum's topic too.
    async fn answers(&mut self) {
        for chat in [PRIVATE, FEW, MANY] {
            let place = self.post(chat, "a question");
            self.named += 10;
            let body = text("an answer", self.named);
            let answer = self.try_send(place.0, Some(place.1), body).await;
            answer.expect("sent");
        }
        let forum = self.chat(MANY);
        self.world.set_forum(forum, true).expect("a forum");
        let topic = self.world.add_topic(forum, self.bob, "A topic").expect("begun");
        self.say(
            forum,
            json!({"from": self.bob, "text": "in a topic", "thread": topic}),
        );
        self.named += 10;
        let outgoing = Outgoing {
            chat: ChatId(forum),
            topic: Some(topic),
            reply_to: None,
            silent: true,
            body: text("in a topic, too", self.named),
        };
        let telegram = &self.daemon.handles.telegram;
        let sent = telegram.send(self.session, &outgoing, PATIENCE).await;
        sent.expect("sent");
        self.world.set_forum(forum, false).expect("no forum");
    }

    /// The answer to a send is lost; Ann sends it again, and once more.
    async fn repeats(&mut self) {
        for chat in [PRIVATE, FEW, MANY] {
            let chat = self.chat(chat);
            self.named += 10;
            self.fault(json!({"kind": "drop_after", "account": self.ann, "method": "messages.sendMessage"}));
            let mut sent = 0;
            for _ in 0..400 {
                if self.try_send(chat, None, text("again", self.named)).await.is_ok() {
                    sent += 1;
                }
                if sent == 2 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(sent, 2, "it is taken again");
        }
    }

    async fn repeats_at_once(&mut self) {
        let chat = self.chat(MANY);
        self.named += 10;
        let method = "messages.sendMessage";
        self.fault(json!({"kind": "delay", "milliseconds": 300, "account": self.ann, "method": method}));
        let both = || self.try_send(chat, None, text("twice at once", self.named));
        let (one, other) = tokio::join!(both(), both());
        one.or(other).expect("one of them is sent");
    }

    fn comers_and_goers(&mut self) {
        let chat = self.chat(FEW);
        self.world.join(chat, &[self.dan]).expect("came");
        self.say(chat, json!({"from": self.dan, "text": "I am new"}));
        self.world.leave(chat, self.dan).expect("went");
    }

    fn new_names(&mut self) {
        let leaver = self.world.user("+999661000080", "Eve").expect("a user");
        self.say(self.ann, json!({"from": leaver, "text": "I shall not stay"}));
        for name in ["Bobby", "Bob"] {
            let profile = Profile {
                first_name: Some(name.to_owned()),
                ..Profile::default()
            };
            self.world.set_profile(self.bob, profile).expect("renamed");
            self.say(
                self.ann,
                json!({"from": self.bob, "text": format!("call me {name}")}),
            );
        }
        self.world.delete_account(leaver).expect("gone");
    }

    /// Bob's message as the daemon tells it.
    async fn told(&mut self, place: Place) -> Message {
        for _ in 0..1000 {
            self.hear();
            if let Some(message) = self.told.get(&place).and_then(|told| told.last.clone()) {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not told: {place:?}");
    }

    /// What Bob attaches in the private chat, as Ann sees it.
    async fn attached(&mut self, message: Value) -> Vec<Message> {
        let since = self.next();
        self.say(self.ann, message);
        let mut told = Vec::new();
        for place in self.look_round(since) {
            told.push(self.told(place).await);
        }
        told
    }

    async fn listened(&mut self) {
        let voice = json!({"generate": 1, "size": 64, "kind": "voice"});
        let voice = json!({"from": self.bob, "text": "listen", "document": voice});
        let told = self.attached(voice.clone()).await;
        let (ann, id) = (self.ann, told[0].id);
        let opened = self.stage.world.world(|world| world.open(ann, &[id]));
        assert_eq!(opened, Ok(1));
        // In a channel only her other sessions hear of it.
        let chat = self.chat(MANY);
        let id = self.say(chat, voice);
        let Peer::Channel(channel) = self.chats[MANY] else {
            panic!("a supergroup");
        };
        let world = &self.stage.world;
        world.world(|world| world.open_in_channel(ann, channel, &[id]));
    }

    /// Ann copies what Bob attached, first as it was told and then after its references have ended.
    async fn copies(&mut self) {
        let part =
            |seed: u64| json!({"photo": {"generate": seed, "width": 8, "height": 8}, "text": "a picture"});
        let album = json!({"from": self.bob, "album": [part(1), part(2)]});
        let told = self.attached(album).await;
        let medium = |message: &Message, random_id| {
            let media = message.media.clone().expect("a picture");
            OutgoingMedia {
                random_id,
                kind: media.kind,
                file: media.file.expect("a file"),
                caption: "a copy".to_owned(),
                entities: Vec::new(),
                spoiler: false,
                origin: (message.chat, message.id),
            }
        };
        let chat = self.chat(FEW);
        self.send(chat, |name| OutgoingBody::Media(medium(&told[0], name)))
            .await;
        let ended =
            |method: &str| json!({"kind": "file_reference_expired", "account": self.ann, "method": method});
        self.fault(ended("messages.sendMedia"));
        self.fault(ended("messages.sendMultiMedia"));
        self.send(chat, |name| OutgoingBody::Media(medium(&told[0], name)))
            .await;
        let both = |name| vec![medium(&told[0], name), medium(&told[1], name + 1)];
        self.send(chat, |name| OutgoingBody::Album(both(name))).await;
    }

    /// Ann writes to herself, here and by telephone.
    async fn notes(&mut self) {
        self.send(self.ann, |name| text("a note", name)).await;
        self.say(
            self.ann,
            json!({"from": self.ann, "text": "a note from elsewhere"}),
        );
    }

    async fn signed(&mut self) {
        let chat = self.chat(NEWS);
        let signed = Marks {
            signatures: true,
            ..Marks::default()
        };
        self.world.set_marks(chat, signed).expect("marked");
        let id = self.say(chat, json!({"from": self.bob, "text": "signed"}));
        self.told((chat, id)).await;
        let (from, to) = (ChatId(chat), self.chat(MANY));
        let parts = |name| OutgoingBody::Forward {
            from,
            parts: vec![(id, name)],
        };
        self.send(to, parts).await;
        self.world.set_marks(chat, Marks::default()).expect("marked");
    }

    fn anonymous(&mut self) {
        let chat = self.chat(MANY);
        self.world.set_anonymous(chat, &[self.bob]).expect("set");
        let id = self.say(chat, json!({"from": self.bob, "text": "who speaks?"}));
        self.world
            .edit(chat, id, self.bob, "who spoke?", Vec::new())
            .expect("edited");
        self.world.set_anonymous(chat, &[]).expect("set");
    }

    async fn hidden(&mut self) {
        let hides = |hidden| Profile {
            hidden_forwards: Some(hidden),
            ..Profile::default()
        };
        self.world.set_profile(self.bob, hides(true)).expect("set");
        let told = self
            .attached(json!({"from": self.bob, "text": "between us"}))
            .await;
        let (from, id) = (told[0].chat, told[0].id);
        let to = self.chat(FEW);
        let parts = |name| OutgoingBody::Forward {
            from,
            parts: vec![(id, name)],
        };
        self.send(to, parts).await;
        self.world.set_profile(self.bob, hides(false)).expect("set");
    }

    fn discussed(&mut self) {
        let (chat, group) = (self.chat(NEWS), self.chat(MANY));
        self.world.link(chat, Some(group)).expect("linked");
        let id = self.say(chat, json!({"from": self.bob, "text": "discuss!"}));
        self.world
            .edit(chat, id, self.bob, "discuss this!", Vec::new())
            .expect("edited");
        self.say(group, json!({"from": self.bob, "text": "we do"}));
        self.world.link(chat, None).expect("not linked");
    }

    /// Somebody else logs in, who has more chats than a page shows, one without a message to see.
    /// Some are in the archive, where that is what matters.
    async fn another_login(&mut self, name: &str) {
        let mut number = ["dialogs_by_date", "hidden_tops", "archive_in_all"].iter();
        let number = number.position(|it| *it == name).expect("one of them");
        let phone = format!("{}{}", &PHONE[..11], [81, 82, 84][number]);
        let cleo = self.stage.user(&phone, "Cleo");
        let bob = self.bob;
        let mut put_away = Vec::new();
        let hidden = self.stage.world.world(|world| {
            for number in 0..110 {
                let phone = format!("+98912{cleo:06}{number:04}");
                let friend = world.add_user(None, &phone, "Friend", "").expect("a user");
                let group = world.add_group(None, friend, "Old", &[cleo]).expect("made");
                let word = trunkline::sandbox::world::posting::Draft::text("old");
                world.post(friend, Peer::Group(group), word).expect("posted");
                if number % 10 == 0 {
                    put_away.push(Peer::Group(group).bot_api());
                }
            }
            let hidden = world.add_channel(None, bob, "Hidden", false, &[]).expect("made");
            let word = trunkline::sandbox::world::posting::Draft::text("not for you");
            world.post(bob, Peer::Channel(hidden), word).expect("posted");
            world.hide_history(bob, hidden, true).expect("hidden");
            world
                .bring_in(bob, Peer::Channel(hidden), &[cleo])
                .expect("let in");
            let all: Vec<i32> = world.channels[&hidden].seen_by(cleo).collect();
            world.delete_in_channel(bob, hidden, &all).expect("deleted");
            Peer::Channel(hidden).bot_api()
        });
        if name == "archive_in_all" {
            self.world.archive(cleo, &put_away).expect("put away");
        }
        self.stage.log_in(&self.daemon, &phone).await;
        let text = format!("welcome to {name}");
        self.say(hidden, json!({"from": self.bob, "text": text}));
        let daemon = &self.daemon;
        until("it is told", || received(daemon).contains(&text)).await;
        assert_eq!(received(daemon).iter().filter(|it| **it == text).count(), 1);
    }

    /// Somebody else's account moves to another data centre while the daemon has it.
    async fn mover(&mut self) {
        let phone = format!("{}83", &PHONE[..11]);
        let flo = self.stage.user(&phone, "Flo");
        let session = self.stage.log_in(&self.daemon, &phone).await;
        self.say(flo, json!({"from": self.bob, "text": "before the move"}));
        self.world.set_home(flo, 4).expect("there is one");
        self.say(flo, json!({"from": self.bob, "text": "during the move"}));
        self.named += 10;
        let outgoing = Outgoing {
            chat: ChatId::user(flo),
            topic: None,
            reply_to: None,
            silent: false,
            body: text("moved", self.named),
        };
        let telegram = &self.daemon.handles.telegram;
        telegram.send(session, &outgoing, PATIENCE).await.expect("sent");
        self.say(flo, json!({"from": self.bob, "text": "after the move"}));
        let daemon = &self.daemon;
        let told = || {
            let move_of = |text: &String| text.ends_with(" the move");
            received(daemon).into_iter().filter(move_of).collect::<Vec<_>>()
        };
        until("all is told", || told().len() >= 3).await;
        assert_eq!(told(), ["before the move", "during the move", "after the move"]);
    }

    /// Spans that overlap, emoji of subscribers and a link, said by Bob and by Ann.
    async fn formatted(&mut self) {
        let span = |kind: &str, offset: i32| json!({"type": kind, "offset": offset, "length": 6});
        let spans = json!([
            span("bold", 0),
            span("bold", 6),
            span("italic", 3),
            span("code", 12)
        ]);
        let words = "bold italic code https://example.com/page example.org";
        for chat in ALL {
            let chat = self.named_by_bob(chat);
            let id = self.say(
                chat,
                json!({"from": self.bob, "text": words, "entities": spans.clone()}),
            );
            let spans = serde_json::from_value(spans.clone()).expect("spans");
            self.world
                .edit(chat, id, self.bob, &format!("{words}s"), spans)
                .expect("edited");
        }
        let entity = |kind, offset, length| Entity { offset, length, kind };
        let emoji = EntityKind::CustomEmoji {
            custom_emoji_id: "5368324170671202286".to_owned(),
        };
        let entities = vec![
            entity(EntityKind::Bold, 0, 6),
            entity(EntityKind::Bold, 6, 3),
            entity(EntityKind::Italic, 4, 4),
            entity(emoji, 10, 2),
        ];
        for chat in [PRIVATE, FEW, MANY] {
            let body = |random_id| OutgoingBody::Text {
                text: "some words 👍 https://example.com/other".to_owned(),
                entities: entities.clone(),
                preview: true,
                random_id,
            };
            self.send(self.chat(chat), body).await;
        }
    }

    fn counted(&mut self) {
        let chat = self.chat(NEWS);
        let id = self.say(chat, json!({"from": self.bob, "text": "seen"}));
        let counters = Touch {
            views: Some(30),
            forwards: Some(3),
            keyboard: None,
        };
        self.world.touch(chat, id, None, counters).expect("counted");
    }

    fn protected(&mut self) {
        let chat = self.chat(FEW);
        for protected in [true, false] {
            self.world.protect(chat, protected).expect("told");
            self.say(chat, json!({"from": self.bob, "text": "kept here"}));
        }
    }
}

fn text(text: &str, random_id: i64) -> OutgoingBody {
    OutgoingBody::Text {
        text: text.to_owned(),
        entities: Vec::new(),
        preview: false,
        random_id,
    }
}
