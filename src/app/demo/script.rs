//! The demo's conversation: three people by the harbour, in several scripts, with pictures, an album,
//! replies, edits and deletions. Pure: step after step, the same for everyone.

use crate::sandbox::acts::{NewFile, NewMessage, NewPart};
use crate::sandbox::world::entities::{Entity, Kind};

/// What happens next.
pub(super) enum Step {
    /// A message, or an album as one.
    Say(Box<NewMessage>),
    /// A message that answers one so many messages back.
    Reply {
        /// How many messages back.
        back: usize,
        /// The answer.
        message: Box<NewMessage>,
    },
    /// A message so many messages back is corrected.
    Edit {
        /// How many messages back.
        back: usize,
    },
    /// A message so many steps back goes.
    Delete {
        /// How many messages back.
        back: usize,
    },
}

/// The lines, with what is bold in them.
const LINES: &[(&str, &str)] = &[
    (
        "Good morning from the harbour! The first boats are in.",
        "first boats",
    ),
    ("صبح بخیر! امروز هوا عالی است.", "عالی"),
    ("おはよう。港はもう忙しいです。", "忙しい"),
    ("Доброе утро! Кто сегодня на причале?", "на причале"),
    (
        "Prices today: cod 12.40, sole 31.00, squid 9.80 #market",
        "cod 12.40",
    ),
    ("שלום לכולם, מישהו ראה את הרשת הכחולה?", "הרשת הכחולה"),
    ("🦀🦐🐟 What a catch! 🎣🌊", "What a catch!"),
    (
        "Two more crates for the restaurant, please. @harbour_mel",
        "Two more crates",
    ),
    ("中午十二点码头见。", "十二点"),
    ("नमस्ते, बर्फ़ कितने बजे आएगी?", "बर्फ़"),
    ("Tide turns at 14:05, be back before that.", "14:05"),
    ("สวัสดีครับ เรือออกกี่โมง", "กี่โมง"),
];

/// What a corrected message begins with.
pub(super) const CORRECTED: &str = "(corrected) ";

/// Everybody who speaks, in turn.
pub(super) struct Script {
    people: Vec<i64>,
    step: usize,
    number: usize,
}

impl Script {
    /// The conversation of these people.
    pub fn new(people: Vec<i64>) -> Self {
        Self {
            people,
            step: 0,
            number: 0,
        }
    }

    /// The next step; `room` is how many messages it may make.
    pub fn next(&mut self, room: usize) -> Step {
        let beat = self.step;
        self.step += 1;
        match beat % 16 {
            5 if beat > 16 => Step::Edit { back: 3 },
            // In turn one that has its copy already, and one that may still wait for it.
            11 if beat > 16 => Step::Delete {
                back: if beat % 32 < 16 { 5 } else { 9 },
            },
            8 if room >= 3 => self.album(3),
            3 | 13 => self.picture(),
            6 | 10 => Step::Reply {
                back: 2,
                message: self.say(),
            },
            _ => Step::Say(self.say()),
        }
    }

    fn speaker(&self) -> i64 {
        self.people[self.step % self.people.len()]
    }

    /// The next line with its number, by which a reader tells copies apart.
    fn line(&mut self, before: &str) -> String {
        self.number += 1;
        let (text, _) = LINES[self.number % LINES.len()];
        format!("{before}{text} №{}", self.number)
    }

    fn say(&mut self) -> Box<NewMessage> {
        let text = self.line("");
        let entities = self.bold(&text);
        Box::new(NewMessage {
            entities,
            ..NewMessage::text(self.speaker(), &text)
        })
    }

    fn picture(&mut self) -> Step {
        let text = self.line("📷 ");
        let photo = Some(self.photo());
        Step::Say(Box::new(NewMessage {
            photo,
            ..NewMessage::text(self.speaker(), &text)
        }))
    }

    fn album(&mut self, parts: usize) -> Step {
        let album = (0..parts)
            .map(|_| NewPart {
                text: self.line("🎞 "),
                photo: Some(self.photo()),
                ..NewPart::default()
            })
            .collect();
        Step::Say(Box::new(NewMessage {
            album,
            ..NewMessage::text(self.speaker(), "")
        }))
    }

    fn photo(&self) -> NewFile {
        let generate = Some(self.number as u64);
        NewFile {
            generate,
            width: Some(96),
            height: Some(64),
            ..NewFile::default()
        }
    }

    fn bold(&self, text: &str) -> Vec<Entity> {
        let (_, bold) = LINES[self.number % LINES.len()];
        let Some(at) = text.find(bold) else {
            return Vec::new();
        };
        let units = |text: &str| i32::try_from(text.encode_utf16().count()).unwrap_or(0);
        vec![Entity::plain(Kind::Bold, units(&text[..at]), units(bold))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_has_everything_in_it() {
        let mut script = Script::new(vec![1, 2, 3]);
        let steps: Vec<_> = (0..64).map(|_| script.next(10)).collect();
        let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
        assert!(count(|step| matches!(step, Step::Edit { .. })) > 2);
        assert!(count(|step| matches!(step, Step::Delete { .. })) > 2);
        assert!(count(|step| matches!(step, Step::Reply { .. })) > 4);
        assert!(count(|step| matches!(step, Step::Say(message) if message.album.len() == 3)) > 2);
        assert!(count(|step| matches!(step, Step::Say(message) if message.photo.is_some())) > 4);
        assert!(count(|step| matches!(step, Step::Say(message) if !message.entities.is_empty())) > 10);
    }

    #[test]
    fn an_album_waits_until_there_is_room() {
        let mut script = Script::new(vec![1]);
        let albums = (0..64).filter(|_| matches!(script.next(2), Step::Say(it) if !it.album.is_empty()));
        assert_eq!(albums.count(), 0);
    }
}
