//! `updates.*`: the state, and what was missed since an older one.

use grammers_tl_types::{enums, functions::updates as f, types};

use super::{Answer, Ctx, bare_channel};
use crate::sandbox::apart;
use crate::sandbox::render::Viewer;
use crate::sandbox::render::updates::named_message;
use crate::sandbox::rpc::KeyId;
use crate::sandbox::world::account::{Entry, What};
use crate::sandbox::world::content::Content;
use crate::sandbox::world::difference::{Missed, Portion, missed};
use crate::sandbox::world::weather::Secret;
use crate::sandbox::world::{Peer, Refusal, State};

/// How long a client should wait before it asks for a channel again, in seconds.
const TIMEOUT: i32 = 30;

/// Who was there so many seconds ago is told of chats at the end only: a part that moves nothing but the date may
/// otherwise follow the one before for ever.
const LATELY: i32 = 30;

/// About the most bytes in a difference: well below what clients take in one message.
const BYTES: usize = 600_000;

/// An account's present state, as a login with this key has it.
pub fn state_of(state: &State, me: i64, key: KeyId) -> Answer<types::updates::State> {
    let account = state.account(me)?;
    Ok(types::updates::State {
        pts: account.pts,
        qts: account.qts,
        date: state.date(),
        seq: seq_of(state, key),
        unread_count: account.unread(),
    })
}

/// The number of the last update without a state that a login was told; 0 where they have none.
fn seq_of(state: &State, key: KeyId) -> i32 {
    let known = state.keys.known.get(&key.0);
    known
        .filter(|known| known.seq != 0 && state.switches.gathered.decides())
        .map_or(0, |known| known.seq)
}

/// `updates.getState`
pub fn get_state(ctx: &mut Ctx<'_>, _: f::GetState) -> Answer<enums::updates::State> {
    let me = ctx.me()?;
    Ok(state_of(ctx.state, me, ctx.key)?.into())
}

/// About how many bytes a message takes.
fn weight(content: Option<&Content>) -> Option<usize> {
    content.map(|content| 400 + content.text().len())
}

/// `updates.getDifference`
pub fn get_difference(ctx: &mut Ctx<'_>, r: f::GetDifference) -> Answer<enums::updates::Difference> {
    let me = ctx.me()?;
    let account = ctx.state.account(me)?;
    if r.date == 0 {
        return Err(Refusal::bad("DATE_EMPTY"));
    }
    let limit = r
        .pts_limit
        .filter(|limit| *limit > 0)
        .unwrap_or(2500)
        .clamp(10, 2500);
    let portion = Portion {
        events: usize::try_from(limit).unwrap_or(2500),
        bytes: BYTES,
        reach: ctx.state.settings.events_kept,
    };
    let held = |id| ctx.state.held(me, id);
    let found = missed(
        &account.log,
        account.pts,
        r.pts,
        portion,
        |id| weight(held(id)),
        |last, next| apart::parts(ctx.state, held(last), held(next)),
    )?;
    let too_long = ctx.too_long || r.pts_total_limit.is_some_and(|limit| account.pts - r.pts > limit);
    let viewer = ctx.viewer(me);
    // In the very second of the client's date it is not known what it has heard: then only somebody who missed
    // something is sent looking.
    let since = if found == Missed::Nothing {
        r.date
    } else {
        r.date.saturating_sub(1)
    };
    let mut channels = channel_news(&viewer, since);
    let waiting: Vec<&Secret> = ctx
        .state
        .secrets_after(me, r.qts)
        .take(portion.events + 1)
        .collect();
    let more = waiting.len() > portion.events;
    let told = waiting.get(..portion.events).unwrap_or(&waiting);
    let qts = told.last().map(|secret| secret.qts);
    let secrets: Vec<_> = told.iter().map(|secret| viewer.secret(secret)).collect();
    let (new, named, other, pts, part) = match found {
        _ if too_long => return Ok(types::updates::DifferenceTooLong { pts: account.pts }.into()),
        Missed::TooMuch => return Ok(types::updates::DifferenceTooLong { pts: account.pts }.into()),
        Missed::Nothing if channels.is_empty() && secrets.is_empty() => {
            return Ok(types::updates::DifferenceEmpty {
                date: ctx.state.date(),
                seq: seq_of(ctx.state, ctx.key),
            }
            .into());
        }
        Missed::Nothing => (Vec::new(), Vec::new(), Vec::new(), account.pts, None),
        Missed::Events {
            new,
            named,
            other,
            pts,
            date,
            complete,
        } => (new, named, other, pts, (!complete).then_some(date)),
    };
    let present = state_of(ctx.state, me, ctx.key)?;
    // Where the client stands, if this is not all.
    let here = (part.is_some() || more).then(|| types::updates::State {
        pts: r.pts,
        qts: r.qts.max(0),
        date: r.date,
        ..present.clone()
    });
    let alone = here.is_some() && ctx.state.switches.parts_move_alone.decides();
    // What stands in no sequence, or in another one, then comes first, and moves its own state only.
    if let Some(here) = here.clone().filter(|_| alone || more) {
        if let Some(qts) = qts {
            return Ok(slice(
                &viewer,
                (Vec::new(), secrets),
                Vec::new(),
                types::updates::State { qts, ..here },
            ));
        }
        if !channels.is_empty() && r.date < present.date.saturating_sub(LATELY) {
            let date = present.date;
            return Ok(slice(
                &viewer,
                (Vec::new(), Vec::new()),
                channels,
                types::updates::State { date, ..here },
            ));
        }
    }
    let new_messages: Vec<enums::Message> = new
        .iter()
        .filter_map(|id| ctx.state.held(me, *id).map(|content| viewer.render(content, *id)))
        .collect();
    let mut other_updates: Vec<enums::Update> = names(&named).collect();
    other_updates.extend(other.iter().filter_map(|entry| viewer.account_update(entry)));
    if let Some((here, date)) = here.zip(part) {
        // Chats are told by the date: while some are still to be told, it stays.
        let date = match alone && channels.is_empty() {
            true => date.max(here.date),
            false => here.date,
        };
        let state = types::updates::State { pts, date, ..here };
        return Ok(slice(&viewer, (new_messages, Vec::new()), other_updates, state));
    }
    other_updates.append(&mut channels);
    let (users, chats) = viewer.named();
    Ok(types::updates::Difference {
        new_messages,
        new_encrypted_messages: secrets,
        other_updates,
        chats,
        users,
        state: types::updates::State { pts, ..present }.into(),
    }
    .into())
}

/// A part of a difference: messages, those of secret chats, everything else, and the state behind it.
fn slice(
    viewer: &Viewer<'_>,
    (new_messages, new_encrypted_messages): (Vec<enums::Message>, Vec<enums::EncryptedMessage>),
    other_updates: Vec<enums::Update>,
    state: types::updates::State,
) -> enums::updates::Difference {
    let (users, chats) = viewer.named();
    types::updates::DifferenceSlice {
        new_messages,
        new_encrypted_messages,
        other_updates,
        chats,
        users,
        intermediate_state: state.into(),
    }
    .into()
}

fn names(named: &[(i32, i64)]) -> impl Iterator<Item = enums::Update> + '_ {
    named.iter().filter_map(|(id, random_id)| {
        let what = What::New {
            id: *id,
            random_id: *random_id,
        };
        named_message(&Entry {
            pts: 0,
            count: 0,
            date: 0,
            what,
        })
    })
}

/// The channels in which something happened since a date, as told to somebody who comes back.
fn channel_news(viewer: &Viewer<'_>, date: i32) -> Vec<enums::Update> {
    let Some(account) = viewer.state.accounts.get(&viewer.account) else {
        return Vec::new();
    };
    let known = account
        .channels
        .iter()
        .filter_map(|id| viewer.state.channels.get(id));
    let mut told = viewer.standings(date);
    let news = known
        .filter(|channel| channel.log.back().is_some_and(|entry| entry.date >= date))
        .map(|channel| {
            viewer.name(Peer::Channel(channel.id));
            viewer.channel_too_long(channel.id)
        });
    told.extend(news);
    told
}

/// `updates.getChannelDifference`
pub fn get_channel_difference(
    ctx: &mut Ctx<'_>,
    r: f::GetChannelDifference,
) -> Answer<enums::updates::ChannelDifference> {
    let me = ctx.me()?;
    let id = match ctx.channel(me, &r.channel) {
        Err(refusal) if refusal.name == "CHANNEL_PRIVATE" => {
            let named = bare_channel(&r.channel);
            return Err(named.map_or(refusal, |id| ctx.state.closed_difference(me, id)));
        }
        named => named?,
    };
    if let Some(refusal) = ctx.state.difference_fails(me, id) {
        return Err(refusal);
    }
    let channel = ctx.state.channel(id)?;
    let peer = Peer::Channel(id);
    let switches = &ctx.state.switches;
    let (most, cap) = match ctx.state.account(me)?.bot {
        true => (100_000, 100_000),
        false => (1000, 100),
    };
    let asked = r.limit.clamp(1, most);
    let short = !(10..=cap).contains(&asked) && switches.short_differences.decides();
    let limit = match short {
        true => asked.clamp(10, cap),
        false => asked,
    };
    let mut reach = ctx.state.settings.events_kept;
    if channel.pts.saturating_sub(r.pts) > limit && switches.too_long_beyond_limit.decides() {
        reach = reach.min(limit);
    }
    let limit = usize::try_from(limit).unwrap_or(100);
    let portion = Portion {
        events: limit,
        bytes: BYTES,
        reach,
    };
    let held = |number: i32| ctx.state.find(me, peer, number);
    let found = missed(
        &channel.log,
        channel.pts,
        r.pts,
        portion,
        |number| weight(held(number)),
        |last, next| apart::parts(ctx.state, held(last), held(next)),
    )?;
    let viewer = ctx.viewer(me);
    let (new, named, other, pts, complete) = match found {
        _ if ctx.too_long => return Ok(channel_too_long(&viewer, peer, limit)),
        Missed::TooMuch => return Ok(channel_too_long(&viewer, peer, limit)),
        Missed::Nothing => {
            return Ok(types::updates::ChannelDifferenceEmpty {
                r#final: true,
                pts: channel.pts,
                timeout: Some(TIMEOUT),
            }
            .into());
        }
        Missed::Events {
            new,
            named,
            other,
            pts,
            complete,
            ..
        } => (new, named, other, pts, complete),
    };
    let new_messages = new.iter().map(|number| viewer.message(peer, *number)).collect();
    let own = |number: &i32| {
        ctx.state
            .find(me, peer, *number)
            .is_some_and(|content| content.author == me)
    };
    let named: Vec<(i32, i64)> = named.into_iter().filter(|(number, _)| own(number)).collect();
    let mut other_updates: Vec<enums::Update> = names(&named).collect();
    other_updates.extend(other.iter().filter_map(|entry| viewer.channel_update(id, entry)));
    // Some clients drop what stands in `other_updates` of a final answer: to spare them there is one more to come.
    let last = complete && (other.is_empty() || switches.final_with_updates.decides());
    viewer.name(peer);
    let (users, chats) = viewer.named();
    Ok(types::updates::ChannelDifference {
        r#final: last,
        pts,
        timeout: (last || !switches.timeout_when_final.decides()).then_some(TIMEOUT),
        new_messages,
        other_updates,
        chats,
        users,
    }
    .into())
}

/// The answer to who missed too much: the dialog as it is, and its last messages.
fn channel_too_long(viewer: &Viewer<'_>, peer: Peer, limit: usize) -> enums::updates::ChannelDifference {
    let Peer::Channel(id) = peer else {
        return types::updates::ChannelDifferenceEmpty {
            r#final: true,
            pts: 1,
            timeout: None,
        }
        .into();
    };
    let dialog = match viewer.dialog(peer) {
        Some(dialog) => dialog,
        None => crate::sandbox::render::blank::dialog(viewer.name(peer)),
    };
    let last = (viewer.state.channels.get(&id))
        .into_iter()
        .flat_map(|channel| channel.seen_by(viewer.account).rev().take(limit.min(100)));
    let messages = last.map(|number| viewer.message(peer, number)).collect();
    let (users, chats) = viewer.named();
    types::updates::ChannelDifferenceTooLong {
        r#final: true,
        timeout: Some(TIMEOUT),
        dialog: dialog.into(),
        messages,
        chats,
        users,
    }
    .into()
}
