//! `messages.*` about polls, and polls as clients attach them.

use grammers_tl_types::{enums, functions::messages as f, types};

use super::{Answer, Ctx};
use crate::sandbox::world::content::Media;
use crate::sandbox::world::polls::{Answer as Choice, Poll};
use crate::sandbox::world::{Peer, Refusal};

/// The poll that a client makes. Formatting in questions and answers is for those with a subscription.
pub fn made(ctx: &mut Ctx<'_>, me: i64, media: types::InputMediaPoll) -> Answer<Media> {
    let enums::Poll::Poll(poll) = media.poll;
    let answers = poll.answers.into_iter().enumerate().map(|(at, answer)| {
        let (text, option) = match answer {
            enums::PollAnswer::Answer(answer) => (answer.text, answer.option),
            // The server names what the client left without a name.
            enums::PollAnswer::InputPollAnswer(answer) => (answer.text, at.to_string().into_bytes()),
        };
        Choice {
            text: words(text),
            option,
        }
    });
    let right = media.correct_answers.unwrap_or_default();
    let right = right
        .into_iter()
        .map(|at| usize::try_from(at).map_err(|_| Refusal::bad("QUIZ_CORRECT_ANSWER_INVALID")))
        .collect::<Answer<Vec<_>>>()?;
    let spans = ctx.entities(me, media.solution_entities);
    let poll = Poll {
        question: words(poll.question),
        answers: answers.collect(),
        public: poll.public_voters,
        multiple: poll.multiple_choice,
        quiz: poll.quiz,
        for_good: poll.revoting_disabled,
        hidden: poll.hide_results_until_close,
        shuffled: poll.shuffle_answers,
        right,
        solution: media.solution.map(|text| (text, spans)),
        period: poll.close_period,
        until: poll.close_date,
        closed: poll.closed,
        ..Poll::default()
    };
    ctx.state.new_poll(me, poll)
}

fn words(text: enums::TextWithEntities) -> String {
    let enums::TextWithEntities::Entities(text) = text;
    text.text
}

/// `messages.editMessage` with a poll: it can be closed and nothing else.
pub fn close(ctx: &mut Ctx<'_>, me: i64, peer: Peer, id: i32, poll: &enums::Poll) -> Answer<enums::Updates> {
    let enums::Poll::Poll(poll) = poll;
    if !poll.closed {
        return Err(Refusal::bad("MEDIA_INVALID"));
    }
    ctx.state.close_poll(me, peer, id)?;
    Ok(ctx.told(me))
}

/// `messages.sendVote`
pub fn send_vote(ctx: &mut Ctx<'_>, r: f::SendVote) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    ctx.state.vote(me, peer, r.msg_id, &r.options)?;
    Ok(ctx.told(me))
}

/// `messages.getPollResults`
pub fn get_poll_results(ctx: &mut Ctx<'_>, r: f::GetPollResults) -> Answer<enums::Updates> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    ctx.state.poll_in(me, peer, r.msg_id)?;
    let viewer = ctx.viewer(me);
    let updates = viewer.poll_update(peer, r.msg_id).into_iter().collect();
    Ok(viewer.updates(updates))
}

/// `messages.getPollVotes`: newest first; the offset counts those that were told.
pub fn get_poll_votes(ctx: &mut Ctx<'_>, r: f::GetPollVotes) -> Answer<enums::messages::VotesList> {
    let me = ctx.me()?;
    let peer = ctx.peer(me, &r.peer)?;
    let poll = ctx.state.poll_in(me, peer, r.id)?;
    if !poll.public {
        return Err(Refusal::forbidden("BROADCAST_FORBIDDEN"));
    }
    if !poll.shown_to(me, ctx.state.date()) {
        return Err(Refusal::forbidden("POLL_VOTE_REQUIRED"));
    }
    let mut votes: Vec<(i32, i64, Vec<u8>)> = Vec::new();
    for (user, vote) in &poll.votes {
        let options = vote.chosen.iter().filter_map(|at| poll.answers.get(*at));
        votes.extend(options.map(|answer| (vote.date, *user, answer.option.clone())));
    }
    votes.retain(|(_, _, option)| r.option.as_ref().is_none_or(|wanted| wanted == option));
    votes.sort_by_key(|(date, user, _)| (-date, *user));
    let from = r.offset.and_then(|it| it.parse().ok()).unwrap_or(0);
    let limit = usize::try_from(r.limit.clamp(1, 100)).unwrap_or(100);
    let viewer = ctx.viewer(me);
    let told = votes.iter().skip(from).take(limit);
    let told: Vec<enums::MessagePeerVote> = told
        .map(|(date, user, option)| {
            types::MessagePeerVote {
                peer: viewer.name(Peer::User(*user)),
                option: option.clone(),
                date: *date,
            }
            .into()
        })
        .collect();
    let next = from.saturating_add(told.len());
    let (users, chats) = viewer.named();
    Ok(types::messages::VotesList {
        count: i32::try_from(votes.len()).unwrap_or(i32::MAX),
        votes: told,
        chats,
        users,
        next_offset: (next < votes.len()).then(|| next.to_string()),
    }
    .into())
}
