//! How a message is to be sent, beside what it says: each parameter has its effect or is refused with the name that
//! Telegram's documentation has for it. What needs no effect here is passed over: `background`, `clear_draft` (drafts are
//! not kept), `update_stickersets_order`, `with_my_score` (there are no games), `allow_paid_floodskip`, and `noforwards` of
//! who is no bot. The methods name every parameter of
//! the schema, so that none that is new passes unseen.

use grammers_tl_types::enums;

use super::{Answer, Ctx};
use crate::sandbox::world::{Peer, Place, Refusal};

/// Seconds ahead of which a message is kept for its time; what is nearer goes out at once.
const AT_ONCE: i32 = 10;

/// The farthest time for which a message may be kept, in seconds from now.
const FARTHEST: i32 = 365 * 86_400;

/// The time that means "when the other side is online".
const WHEN_ONLINE: i32 = 0x7fff_fffe;

/// The effects that everybody may use.
const EFFECTS: [i64; 6] = [
    5_104_841_245_755_180_586,
    5_107_584_321_108_051_014,
    5_104_858_069_142_078_462,
    5_159_385_139_981_059_251,
    5_046_509_860_389_126_442,
    5_046_589_136_895_476_101,
];

/// What a call asks for.
#[derive(Default)]
pub struct Asked<'a> {
    /// When it is to be sent.
    pub schedule_date: Option<i32>,
    /// How often it is to be sent again.
    pub schedule_repeat_period: Option<i32>,
    /// In whose name.
    pub send_as: Option<&'a enums::InputPeer>,
    /// Kept as a quick reply.
    pub quick_reply: bool,
    /// With this effect.
    pub effect: Option<i64>,
    /// Suggested to a channel.
    pub suggested_post: bool,
    /// With a keyboard.
    pub reply_markup: Option<&'a enums::ReplyMarkup>,
    /// With more than words and spans.
    pub rich_message: bool,
    /// For at most so many stars.
    pub stars: Option<i64>,
    /// For more messages than one.
    pub further: usize,
}

/// Checks all that a call asks for. Answers the words of a keyboard that asks for an answer.
pub fn check(ctx: &Ctx<'_>, me: i64, peer: Peer, asked: &Asked<'_>) -> Answer<Option<String>> {
    ctx.state.pays(me, peer, asked.further + 1, asked.stars)?;
    match judge(ctx, me, peer, asked) {
        Ok(None) => Ok(None),
        judged if ctx.state.switches.parameters_refused.decides() => judged,
        _ => Ok(None),
    }
}

fn judge(ctx: &Ctx<'_>, me: i64, peer: Peer, asked: &Asked<'_>) -> Answer<Option<String>> {
    let bot = ctx.state.account(me)?.bot;
    let private = matches!(peer, Peer::User(_));
    match asked.schedule_date {
        Some(_) if bot => return Err(Refusal::bad("SCHEDULE_BOT_NOT_ALLOWED")),
        Some(WHEN_ONLINE) if private => return Err(Refusal::bad("SCHEDULE_STATUS_PRIVATE")),
        Some(at) if at > ctx.state.date().saturating_add(FARTHEST) => {
            return Err(Refusal::bad("SCHEDULE_DATE_TOO_LATE"));
        }
        // As if there were too many already: none is kept.
        Some(at) if at > ctx.state.date().saturating_add(AT_ONCE) => {
            return Err(Refusal::bad("SCHEDULE_TOO_MUCH"));
        }
        _ => {}
    }
    if asked.schedule_repeat_period.is_some() {
        return Err(Refusal::bad("SCHEDULE_DATE_INVALID"));
    }
    if asked.quick_reply {
        return Err(Refusal::bad(match bot {
            true => "QUICK_REPLIES_BOT_NOT_ALLOWED",
            false => "QUICK_REPLIES_TOO_MUCH",
        }));
    }
    match asked.effect {
        Some(_) if !private => return Err(Refusal::bad("EFFECT_CHAT_INVALID")),
        Some(effect) if !EFFECTS.contains(&effect) => return Err(Refusal::bad("EFFECT_ID_INVALID")),
        _ => {}
    }
    if asked.suggested_post {
        return Err(Refusal::bad("SUGGESTED_POST_PEER_INVALID"));
    }
    if asked.rich_message {
        return Err(Refusal::bad("INPUT_CONSTRUCTOR_INVALID"));
    }
    as_oneself(ctx, me, peer, asked.send_as)?;
    keyboard(asked.reply_markup, bot)
}

/// The words of a keyboard that asks for an answer; other keyboards there are none, and only bots send any.
pub fn keyboard(markup: Option<&enums::ReplyMarkup>, bot: bool) -> Answer<Option<String>> {
    match markup {
        None => Ok(None),
        Some(enums::ReplyMarkup::ReplyKeyboardForceReply(it)) if bot => {
            Ok(Some(it.placeholder.clone().unwrap_or_default()))
        }
        Some(_) => Err(Refusal::bad("REPLY_MARKUP_INVALID")),
    }
}

/// The second at which a video is to begin.
pub fn video_timestamp(media: &enums::InputMedia) -> Option<i32> {
    match media {
        enums::InputMedia::UploadedDocument(it) => it.video_timestamp,
        enums::InputMedia::Document(it) => it.video_timestamp,
        _ => None,
    }
}

/// Whether a medium is to vanish by itself, which none does here.
pub fn vanishes(media: &enums::InputMedia) -> bool {
    use enums::InputMedia as M;
    let seconds = match media {
        M::UploadedPhoto(it) => it.ttl_seconds,
        M::Photo(it) => it.ttl_seconds,
        M::UploadedDocument(it) => it.ttl_seconds,
        M::Document(it) => it.ttl_seconds,
        _ => None,
    };
    seconds.is_some_and(|seconds| seconds != 0)
}

/// Whether the name that a call asks to post in is the one in which the caller posts there anyway.
pub fn as_oneself(ctx: &Ctx<'_>, me: i64, peer: Peer, send_as: Option<&enums::InputPeer>) -> Answer<()> {
    let Some(send_as) = send_as else { return Ok(()) };
    let invalid = Refusal::bad("SEND_AS_PEER_INVALID");
    let wanted = ctx.peer(me, send_as).map_err(|_| invalid.clone())?;
    let place = Place::of(me, peer);
    let broadcast = match peer {
        Peer::Channel(id) => ctx.state.channel(id)?.broadcast,
        _ => false,
    };
    let own = match ctx.state.voice(me, place).sender {
        Some(sender) => sender,
        None if broadcast => peer,
        None => Peer::User(me),
    };
    (wanted == own).then_some(()).ok_or(invalid)
}
