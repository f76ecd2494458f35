//! Polls that the control port posts.

use serde::{Deserialize, Serialize};

use crate::sandbox::world::content::Media;
use crate::sandbox::world::polls::{Answer, Poll};
use crate::sandbox::world::{Refusal, State};

/// A poll to post.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPoll {
    /// What is asked.
    pub question: String,
    /// What may be answered.
    pub answers: Vec<String>,
    /// Everybody sees who chose what.
    pub public: bool,
    /// Several answers may be chosen.
    pub multiple: bool,
    /// The right answer of a quiz, counted from 0.
    pub right: Option<usize>,
    /// For how many seconds it is open.
    pub period: Option<i32>,
}

impl State {
    /// Makes a poll to be posted.
    pub(super) fn poll_of(&mut self, author: i64, new: &NewPoll) -> Result<Media, Refusal> {
        let answers = new.answers.iter().enumerate().map(|(at, text)| Answer {
            text: text.clone(),
            option: at.to_string().into_bytes(),
        });
        let poll = Poll {
            question: new.question.clone(),
            answers: answers.collect(),
            public: new.public,
            multiple: new.multiple,
            quiz: new.right.is_some(),
            right: new.right.into_iter().collect(),
            period: new.period,
            ..Poll::default()
        };
        self.new_poll(author, poll)
    }
}
