//! Polls as records of the schema: what is asked, and as much of how it stands as the viewer may see.

use grammers_tl_types::{enums, types};

use super::Viewer;
use crate::sandbox::world::Peer;
use crate::sandbox::world::polls::{Answer, Poll, Vote};

/// How many of those who voted last are named.
const RECENT: usize = 3;

fn plain(text: &str) -> enums::TextWithEntities {
    types::TextWithEntities {
        text: text.to_owned(),
        entities: Vec::new(),
    }
    .into()
}

fn counted(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Viewer<'_> {
    /// A poll as it is attached to a message.
    pub fn poll_media(&self, poll: i64) -> enums::MessageMedia {
        match self.state.polls.get(&poll) {
            Some(poll) => types::MessageMediaPoll {
                poll: self.poll(poll),
                results: self.results(poll),
                attached_media: None,
            }
            .into(),
            None => enums::MessageMedia::Empty,
        }
    }

    /// What is asked.
    fn poll(&self, poll: &Poll) -> enums::Poll {
        let answer = |answer: &Answer| {
            types::PollAnswer {
                text: plain(&answer.text),
                option: answer.option.clone(),
                media: None,
                added_by: None,
                date: None,
            }
            .into()
        };
        let over = poll.over(self.state.date());
        types::Poll {
            id: poll.id,
            closed: over,
            public_voters: poll.public,
            multiple_choice: poll.multiple,
            quiz: poll.quiz,
            open_answers: false,
            revoting_disabled: poll.for_good,
            shuffle_answers: poll.shuffled,
            hide_results_until_close: poll.hidden,
            creator: poll.author == self.account,
            subscribers_only: false,
            question: plain(&poll.question),
            answers: poll.answers.iter().map(answer).collect(),
            close_period: poll.period,
            close_date: poll.until,
            countries_iso2: None,
            hash: self.state.derive(61, poll.id, i64::from(over)),
        }
        .into()
    }

    /// How it stands.
    fn results(&self, poll: &Poll) -> enums::PollResults {
        let own = poll.votes.get(&self.account);
        let shown = poll.shown_to(self.account, self.state.date());
        let mut latest: Vec<_> = poll.votes.iter().collect();
        latest.sort_by_key(|(_, vote)| -vote.date);
        // The latest of those who chose this answer, or any.
        let recent = |answer: Option<usize>| -> Vec<enums::Peer> {
            let chose = |vote: &Vote| answer.is_none_or(|at| vote.chosen.contains(&at));
            let voters = latest.iter().filter(|(_, vote)| chose(vote));
            let named = voters.map(|(user, _)| self.name(Peer::User(**user)));
            named.take(RECENT).collect()
        };
        let result = |at: usize| {
            let voters = poll.votes.values().filter(|vote| vote.chosen.contains(&at));
            types::PollAnswerVoters {
                chosen: own.is_some_and(|vote| vote.chosen.contains(&at)),
                correct: poll.right.contains(&at),
                option: poll.answers[at].option.clone(),
                voters: Some(counted(voters.count())),
                recent_voters: Some(match poll.public {
                    true => recent(Some(at)),
                    false => Vec::new(),
                }),
            }
            .into()
        };
        let solution = poll.solution.as_ref().filter(|_| shown);
        types::PollResults {
            min: false,
            has_unread_votes: false,
            can_view_stats: false,
            results: shown.then(|| (0..poll.answers.len()).map(result).collect()),
            total_voters: Some(counted(poll.votes.len())),
            recent_voters: (poll.public && shown).then(|| recent(None)),
            solution: solution.map(|(text, _)| text.clone()),
            solution_entities: solution.map(|(_, spans)| self.entities(spans)),
            solution_media: None,
        }
        .into()
    }

    /// How a message's poll stands, as an update.
    pub fn poll_update(&self, peer: Peer, id: i32) -> Option<enums::Update> {
        let poll = self.state.poll_in(self.account, peer, id).ok()?;
        Some(
            types::UpdateMessagePoll {
                peer: Some(self.name(peer)),
                msg_id: Some(id),
                top_msg_id: None,
                poll_id: poll.id,
                poll: Some(self.poll(poll)),
                results: self.results(poll),
            }
            .into(),
        )
    }
}
