//! Scenes of what messages carry and what they answer: albums, files, what goes by itself, answers of all kinds.

use serde_json::json;
use trunkline::model::MediaKind;
use trunkline::sandbox::acts::picture;
use trunkline::sandbox::world::Peer;
use trunkline::telegram::{Content, OutgoingBody, OutgoingMedia, Upload};

use super::{ALL, FEW, MANY, PATIENCE, PRIVATE, Play, text};
use crate::stage::until;

/// What is said and goes by itself.
const SOON_GONE: &str = "soon gone";

/// More than a part of an upload holds.
const TWO_PARTS: usize = 600 << 10;

impl Play {
    /// An album in each chat, with a word of somebody else between its parts; and one that is not told.
    pub(super) fn albums(&mut self) {
        let album = |first: u64| {
            let part = |seed: u64| json!({"photo": {"generate": seed, "width": 8, "height": 8}, "text": format!("{seed}")});
            let parts: Vec<_> = (first..first + 3).map(part).collect();
            json!({"from": self.bob, "album": parts})
        };
        for (number, chat) in (1..).zip(ALL) {
            self.say(self.named_by_bob(chat), album(number * 10));
        }
        self.say(
            self.chat(FEW),
            json!({"from": self.bob, "text": "what do you show?"}),
        );
        self.deafen(MANY);
        self.say(self.chat(MANY), album(90));
    }

    /// Ann sends a picture and an animation of her own, Bob a larger picture.
    pub(super) async fn uploads(&mut self) {
        let pixels = picture(64, 48, 5).expect("a picture");
        let mut moving = b"GIF89a\x10\x00\x10\x00\x00\x00\x00".to_vec();
        moving.resize(TWO_PARTS, 0);
        let files = [
            (MediaKind::Photo, pixels.clone(), "a.png", "image/png"),
            (MediaKind::Document, pixels, "b.png", "image/png"),
            (MediaKind::Document, moving, "c.gif", "image/gif"),
        ];
        for (kind, bytes, name, mime) in files {
            let upload = Upload {
                kind,
                content: Content::Memory(bytes),
                name: name.to_owned(),
                mime: mime.to_owned(),
            };
            let telegram = &self.daemon.handles.telegram;
            let file = telegram.upload(self.session, &upload, PATIENCE).await;
            let (file, chat) = (file.expect("taken"), self.chat(FEW));
            let body = |random_id| {
                OutgoingBody::Media(OutgoingMedia {
                    random_id,
                    kind,
                    file,
                    caption: name.to_owned(),
                    entities: Vec::new(),
                    spoiler: false,
                    origin: (trunkline::model::ChatId(chat), 0),
                })
            };
            self.send(chat, body).await;
        }
        let large = json!({"generate": 6, "width": 400, "height": 300});
        self.say(
            self.chat(MANY),
            json!({"from": self.bob, "photo": large, "text": "large"}),
        );
    }

    /// Words that go by themselves, and a picture that goes once it was seen.
    pub(super) async fn vanishing(&mut self) {
        let since = self.next();
        for chat in ALL {
            let message = json!({"from": self.bob, "text": SOON_GONE, "ttl_period": 2});
            self.say(self.named_by_bob(chat), message);
        }
        let photo = json!({"generate": 7, "width": 8, "height": 8});
        let once = json!({"from": self.bob, "text": "see once", "photo": photo, "ttl_seconds": i32::MAX});
        let ann = self.ann;
        let id = self.say(ann, once);
        let (bob, world) = (self.bob, &self.stage.world);
        let seen = world.look(|world| {
            let message = world.find(bob, Peer::User(ann), id).expect("it stands");
            message.number_for(ann).expect("a number")
        });
        self.told((bob, seen)).await;
        let opened = self.stage.world.world(|world| world.open(ann, &[seen]));
        assert_eq!(opened, Ok(1));
        let gone = || {
            self.stage.world.look(|world| {
                let said = (since..world.next.uid).filter_map(|uid| world.contents.get(&uid));
                let mut soon = said.filter(|content| content.text() == SOON_GONE);
                soon.all(|content| content.deleted_at.is_some())
            })
        };
        until("it is gone", gone).await;
    }

    /// Answers to answers, to messages of other chats, and to what Ann may not see.
    pub(super) async fn answered(&mut self) {
        let (bob, group) = (self.bob, self.chat(MANY));
        let began = self.say(group, json!({"from": bob, "text": "who comes?"}));
        let first = self.say(group, json!({"from": bob, "text": "I do", "reply_to": began}));
        let second = self.say(group, json!({"from": bob, "text": "so do I", "reply_to": first}));
        self.named += 10;
        let body = text("me too", self.named);
        let sent = self.try_send(group, Some(second), body).await;
        sent.expect("sent");
        let hidden = self.stage.world.world(|world| {
            let id = world.add_channel(None, bob, "Not for Ann", false, &[]);
            Peer::Channel(id.expect("made")).bot_api()
        });
        let secret = self.say(hidden, json!({"from": bob, "text": "between us"}));
        for chat in [PRIVATE, FEW, MANY] {
            let chat = self.named_by_bob(chat);
            let said = json!({"from": bob, "text": "as was said", "reply_to": began, "reply_chat": group, "quote": "comes"});
            if chat != group {
                self.say(chat, said);
            }
            let said = json!({"from": bob, "text": "who said it?", "reply_to": secret, "reply_chat": hidden});
            self.say(chat, said);
        }
    }
}
