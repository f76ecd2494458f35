//! Polls and quizzes: what is asked, who chose what, who may see how it stands.
//!
//! A poll is one thing wherever it is forwarded to. It closes when its author closes it or its time is over.
//! Not promised: answers that others add, polls for some countries or members only, media in answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::What;
use super::content::Media;
use super::entities::{Entity, units};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// The longest question, in UTF-16 units.
const QUESTION_MAX: i32 = 255;

/// The longest answer, in UTF-16 units.
const ANSWER_MAX: i32 = 100;

/// How many answers may be chosen from.
const ANSWERS: std::ops::RangeInclusive<usize> = 1..=12;

/// A poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// Its number.
    pub id: i64,
    /// Who made it.
    pub author: i64,
    /// What is asked.
    pub question: String,
    /// What may be answered.
    pub answers: Vec<Answer>,
    /// Everybody sees who chose what.
    pub public: bool,
    /// Several answers may be chosen.
    pub multiple: bool,
    /// Some answers are right.
    pub quiz: bool,
    /// A choice is for good.
    pub for_good: bool,
    /// How it stands is shown at the end only.
    pub hidden: bool,
    /// Each client shows the answers in an order of its own.
    pub shuffled: bool,
    /// The right answers.
    pub right: Vec<usize>,
    /// Why they are right.
    pub solution: Option<(String, Vec<Entity>)>,
    /// For how many seconds it is open.
    pub period: Option<i32>,
    /// When it closes by itself, in seconds.
    pub until: Option<i32>,
    /// It was closed.
    pub closed: bool,
    /// Who chose which answers.
    pub votes: BTreeMap<i64, Vote>,
}

/// What may be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Its words.
    pub text: String,
    /// What names it.
    pub option: Vec<u8>,
}

/// What somebody chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// Which answers.
    pub chosen: Vec<usize>,
    /// When, in seconds.
    pub date: i32,
}

impl Poll {
    /// Whether nobody may choose any more.
    pub fn over(&self, now: i32) -> bool {
        self.closed || self.until.is_some_and(|until| until <= now)
    }

    /// Whether this user sees how it stands: who has chosen, and everybody in the end.
    pub fn shown_to(&self, user: i64, now: i32) -> bool {
        self.over(now) || (!self.hidden && self.votes.contains_key(&user))
    }

    fn check(&self, now: i32) -> Result<(), Refusal> {
        let fits = |text: &str, most: i32| (1..=most).contains(&units(text.trim()));
        if !fits(&self.question, QUESTION_MAX) {
            return Err(Refusal::bad("POLL_QUESTION_INVALID"));
        }
        if !ANSWERS.contains(&self.answers.len()) {
            return Err(Refusal::bad("POLL_ANSWERS_INVALID"));
        }
        if !self.answers.iter().all(|answer| fits(&answer.text, ANSWER_MAX)) {
            return Err(Refusal::bad("POLL_ANSWER_INVALID"));
        }
        let same = |at: usize, other: &Answer| {
            let before = &self.answers[..at];
            before.iter().any(|it| it.option == other.option)
        };
        if self.answers.iter().enumerate().any(|(at, it)| same(at, it)) {
            return Err(Refusal::bad("POLL_OPTION_DUPLICATE"));
        }
        if self.quiz && self.right.is_empty() {
            return Err(Refusal::bad("QUIZ_CORRECT_ANSWERS_EMPTY"));
        }
        if self.right.len() > 1 && !self.multiple {
            return Err(Refusal::bad("QUIZ_CORRECT_ANSWERS_TOO_MUCH"));
        }
        if (!self.quiz && !self.right.is_empty()) || self.right.iter().any(|at| *at >= self.answers.len()) {
            return Err(Refusal::bad("QUIZ_CORRECT_ANSWER_INVALID"));
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(Refusal::bad("POLL_CLOSE_DATE_INVALID"));
        }
        Ok(())
    }
}

impl State {
    /// Takes a poll in; answers what is attached to its message.
    pub fn new_poll(&mut self, author: i64, poll: Poll) -> Result<Media, Refusal> {
        let now = self.date();
        let until = poll
            .until
            .or(poll.period.map(|period| now.saturating_add(period)));
        let count = i64::try_from(self.polls.len()).unwrap_or(i64::MAX);
        let id = 5_100_000_000_000_000_001_i64.saturating_add(count);
        let poll = Poll {
            id,
            author,
            until,
            ..poll
        };
        poll.check(now)?;
        self.polls.insert(id, poll);
        Ok(Media::Poll { poll: id })
    }

    /// The poll in a message that this account knows as `id` in `peer`.
    pub fn poll_in(&self, account: i64, peer: Peer, id: i32) -> Result<&Poll, Refusal> {
        let content = self.find(account, peer, id);
        match content.and_then(|content| content.media()) {
            Some(Media::Poll { poll }) => self.polls.get(poll).ok_or(Refusal::bad("MESSAGE_ID_INVALID")),
            _ => Err(Refusal::bad("MESSAGE_ID_INVALID")),
        }
    }

    /// Chooses answers by what names them; none takes an earlier choice back.
    pub fn vote(&mut self, account: i64, peer: Peer, id: i32, options: &[Vec<u8>]) -> Result<(), Refusal> {
        let now = self.date();
        let poll = self.poll_in(account, peer, id)?;
        if poll.over(now) {
            return Err(Refusal::bad("MESSAGE_POLL_CLOSED"));
        }
        if poll.votes.contains_key(&account) && (poll.quiz || poll.for_good) {
            return Err(Refusal::bad("REVOTE_NOT_ALLOWED"));
        }
        if options.len() > 1 && !poll.multiple {
            return Err(Refusal::bad("OPTIONS_TOO_MUCH"));
        }
        let place_of = |option: &Vec<u8>| poll.answers.iter().position(|it| it.option == *option);
        let mut chosen = options
            .iter()
            .map(|option| place_of(option).ok_or(Refusal::bad("OPTION_INVALID")))
            .collect::<Result<Vec<_>, _>>()?;
        chosen.sort_unstable();
        chosen.dedup();
        let number = poll.id;
        if let Some(poll) = self.polls.get_mut(&number) {
            match chosen.is_empty() {
                true => poll.votes.remove(&account),
                false => poll.votes.insert(account, Vote { chosen, date: now }),
            };
        }
        self.tell_of_poll(account, peer, id);
        Ok(())
    }

    /// Closes one's own poll.
    pub fn close_poll(&mut self, account: i64, peer: Peer, id: i32) -> Result<(), Refusal> {
        let now = self.date();
        let poll = self.poll_in(account, peer, id)?;
        if poll.author != account {
            return Err(Refusal::forbidden("MESSAGE_AUTHOR_REQUIRED"));
        }
        if poll.over(now) {
            return Err(Refusal::bad("MESSAGE_NOT_MODIFIED"));
        }
        let number = poll.id;
        if let Some(poll) = self.polls.get_mut(&number) {
            poll.closed = true;
        }
        self.tell_of_poll(account, peer, id);
        let Some(content) = self.find(account, peer, id) else {
            return Err(Refusal::bad("MESSAGE_ID_INVALID"));
        };
        let (place, copies) = (content.place, content.copies.clone());
        for (holder, id) in copies {
            match place {
                Place::Channel(channel) => self.tell_channel(channel, 1, What::Edited { id }),
                _ => self.tell(holder, 1, What::Edited { id }),
            };
        }
        Ok(())
    }

    /// Lets all who have the message know how its poll stands, each as much as it may see.
    fn tell_of_poll(&mut self, account: i64, peer: Peer, id: i32) {
        let Some(content) = self.find(account, peer, id) else {
            return;
        };
        let (uid, place) = (content.uid, content.place);
        for user in self.audience(place) {
            let held = self.contents.get(&uid).and_then(|it| it.number_for(user));
            if let Some(id) = held {
                let peer = place.seen_by(user);
                self.mention(user, Passing::Poll { peer, id });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::posting::Draft;
    use super::*;

    fn asked(poll: Poll) -> Result<(State, i64, i64, i32), Refusal> {
        let mut state = State::new(3);
        let ann = state.add_user(None, "15550001", "Ann", "")?;
        let ben = state.add_user(None, "15550002", "Ben", "")?;
        let media = state.new_poll(ann, poll)?;
        let draft = Draft {
            media: Some(media),
            ..Draft::default()
        };
        let uid = state.post(ann, Peer::User(ben), draft)?;
        let id = state.contents[&uid].number_for(ben).unwrap_or_default();
        Ok((state, ann, ben, id))
    }

    fn tea() -> Poll {
        let answer = |text: &str| Answer {
            text: text.into(),
            option: text.as_bytes().to_vec(),
        };
        Poll {
            question: "Tea?".into(),
            answers: vec![answer("yes"), answer("no")],
            ..Poll::default()
        }
    }

    #[test]
    fn a_choice_may_be_changed_and_taken_back_until_the_end() {
        let (mut state, ann, ben, id) = asked(tea()).expect("asked");
        let peer = Peer::User(ann);
        let yes = [b"yes".to_vec()];
        assert!(!state.poll_in(ben, peer, id).expect("there").shown_to(ben, 1));
        assert_eq!(state.vote(ben, peer, id, &yes), Ok(()));
        assert!(state.poll_in(ben, peer, id).expect("there").shown_to(ben, 1));
        let both = [b"yes".to_vec(), b"no".to_vec()];
        assert_eq!(
            state.vote(ben, peer, id, &both),
            Err(Refusal::bad("OPTIONS_TOO_MUCH"))
        );
        assert_eq!(
            state.vote(ben, peer, id, &[b"maybe".to_vec()]),
            Err(Refusal::bad("OPTION_INVALID"))
        );
        assert_eq!(state.vote(ben, peer, id, &[]), Ok(()));
        assert!(state.poll_in(ben, peer, id).expect("there").votes.is_empty());
        assert_eq!(
            state.close_poll(ben, peer, id),
            Err(Refusal::forbidden("MESSAGE_AUTHOR_REQUIRED"))
        );
        assert_eq!(state.close_poll(ann, Peer::User(ben), id), Ok(()));
        assert_eq!(
            state.vote(ben, peer, id, &yes),
            Err(Refusal::bad("MESSAGE_POLL_CLOSED"))
        );
    }

    #[test]
    fn a_quiz_has_a_right_answer_and_one_try() {
        let empty = Poll { quiz: true, ..tea() };
        assert_eq!(
            asked(empty).err(),
            Some(Refusal::bad("QUIZ_CORRECT_ANSWERS_EMPTY"))
        );
        let quiz = Poll {
            quiz: true,
            right: vec![1],
            ..tea()
        };
        let (mut state, ann, ben, id) = asked(quiz).expect("asked");
        assert_eq!(state.vote(ben, Peer::User(ann), id, &[b"no".to_vec()]), Ok(()));
        let again = state.vote(ben, Peer::User(ann), id, &[b"yes".to_vec()]);
        assert_eq!(again, Err(Refusal::bad("REVOTE_NOT_ALLOWED")));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let no_question = Poll {
            question: " ".into(),
            ..tea()
        };
        assert_eq!(
            asked(no_question).err(),
            Some(Refusal::bad("POLL_QUESTION_INVALID"))
        );
        let no_answers = Poll {
            answers: vec![],
            ..tea()
        };
        assert_eq!(
            asked(no_answers).err(),
            Some(Refusal::bad("POLL_ANSWERS_INVALID"))
        );
        let mut twice = tea();
        twice.answers.push(twice.answers[0].clone());
        assert_eq!(asked(twice).err(), Some(Refusal::bad("POLL_OPTION_DUPLICATE")));
    }
}
