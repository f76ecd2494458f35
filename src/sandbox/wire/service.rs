//! The protocol's own messages: pings, acknowledgements, states, salts. They need no world.

use grammers_tl_types as tl;
use std::time::Duration;
use tl::functions as f;
use tl::{Deserializable, Identifiable, Serializable};

use super::envelope::{Message, constructor, is_container, rpc_result};
use super::registry::Slot;
use super::salts::Salts;
use super::session::{ConnectionId, Session};
use crate::sandbox::rpc::MtSession;

/// What a message was.
pub enum Heard {
    /// A protocol message; all is done.
    Done,
    /// The connection is to be closed after this time, unless it is put off again.
    CloseAfter(Duration),
    /// The client destroys its key; the answer is on its way.
    KeyDestroyed,
    /// Not one of the protocol's: a call.
    Call,
}

/// Handles one message that came over that connection, at that unix time.
pub fn hear(slot: &Slot, on: ConnectionId, message: &Message, now: u64) -> Heard {
    let Some((constructor, parameters)) = message.body.split_first_chunk::<4>() else {
        return Heard::Call;
    };
    let reply = |session: &mut Session, object: Vec<u8>| session.reply(on, object);
    match u32::from_le_bytes(*constructor) {
        tl::types::MsgsAck::CONSTRUCTOR_ID => {
            if let Some(tl::types::MsgsAck { msg_ids }) = read(parameters) {
                slot.quietly(|session| session.acknowledge(&msg_ids));
            }
        }
        f::Ping::CONSTRUCTOR_ID => {
            if let Some(f::Ping { ping_id }) = read(parameters) {
                slot.with(|session| reply(session, pong(message.id, ping_id)));
            }
        }
        f::PingDelayDisconnect::CONSTRUCTOR_ID => {
            if let Some(f::PingDelayDisconnect {
                ping_id,
                disconnect_delay,
            }) = read(parameters)
            {
                slot.with(|session| reply(session, pong(message.id, ping_id)));
                return Heard::CloseAfter(Duration::from_secs(disconnect_delay.max(0) as u64));
            }
        }
        f::GetFutureSalts::CONSTRUCTOR_ID => {
            if let Some(f::GetFutureSalts { num }) = read(parameters) {
                let salts = future_salts(&slot.key.salts, message.id, num, now);
                slot.with(|session| reply(session, salts));
            }
        }
        tl::types::MsgsStateReq::CONSTRUCTOR_ID => {
            if let Some(tl::types::MsgsStateReq { msg_ids }) = read(parameters) {
                slot.with(|session| tell_states(session, on, message.id, &msg_ids));
            }
        }
        tl::types::MsgResendReq::CONSTRUCTOR_ID => {
            if let Some(tl::types::MsgResendReq { msg_ids }) = read(parameters) {
                slot.with(|session| {
                    if !session.resend(&msg_ids) {
                        tell_states(session, on, message.id, &msg_ids);
                    }
                });
            }
        }
        tl::types::MsgResendAnsReq::CONSTRUCTOR_ID => {
            if let Some(tl::types::MsgResendAnsReq { msg_ids }) = read(parameters) {
                slot.with(|session| {
                    if !session.resend_answers(&msg_ids) {
                        tell_states(session, on, message.id, &msg_ids);
                    }
                });
            }
        }
        f::RpcDropAnswer::CONSTRUCTOR_ID => {
            if let Some(f::RpcDropAnswer { req_msg_id }) = read(parameters) {
                slot.with(|session| {
                    let verdict = session.drop_answer(req_msg_id).to_bytes();
                    session.receive_call(message.id);
                    session.answer(message.id, true, rpc_result(message.id, &verdict));
                });
                slot.tell_answered();
            }
        }
        f::DestroySession::CONSTRUCTOR_ID => {
            if let Some(f::DestroySession { session_id }) = read(parameters) {
                let destroyed = session_id != slot.id.0 && slot.key.remove_session(MtSession(session_id));
                let answer: tl::enums::DestroySessionRes = if destroyed {
                    tl::types::DestroySessionOk { session_id }.into()
                } else {
                    tl::types::DestroySessionNone { session_id }.into()
                };
                slot.with(|session| reply(session, answer.to_bytes()));
            }
        }
        f::DestroyAuthKey::CONSTRUCTOR_ID => {
            let answer: tl::enums::DestroyAuthKeyRes = tl::types::DestroyAuthKeyOk {}.into();
            slot.with(|session| reply(session, answer.to_bytes()));
            return Heard::KeyDestroyed;
        }
        // Means something over HTTP only, or tells what the server does not need.
        tl::types::HttpWait::CONSTRUCTOR_ID
        | tl::types::MsgsStateInfo::CONSTRUCTOR_ID
        | tl::types::MsgsAllInfo::CONSTRUCTOR_ID
        | tl::types::MsgDetailedInfo::CONSTRUCTOR_ID
        | tl::types::MsgNewDetailedInfo::CONSTRUCTOR_ID => {}
        _ => return Heard::Call,
    }
    Heard::Done
}

/// Whether an object is content, which wants to be acknowledged; nothing of those of the protocol's own of which
/// clients take either view. Acknowledgements are among these: clients that get on with Telegram count theirs as content.
pub fn wants_acknowledgement(object: &[u8]) -> Option<bool> {
    match constructor(object)? {
        _ if is_container(object) => Some(false),
        tl::types::MsgsAck::CONSTRUCTOR_ID
        | f::Ping::CONSTRUCTOR_ID
        | f::PingDelayDisconnect::CONSTRUCTOR_ID
        | f::GetFutureSalts::CONSTRUCTOR_ID
        | f::RpcDropAnswer::CONSTRUCTOR_ID
        | f::DestroySession::CONSTRUCTOR_ID
        | f::DestroyAuthKey::CONSTRUCTOR_ID
        | tl::types::MsgsStateReq::CONSTRUCTOR_ID
        | tl::types::MsgResendReq::CONSTRUCTOR_ID
        | tl::types::MsgResendAnsReq::CONSTRUCTOR_ID
        | tl::types::HttpWait::CONSTRUCTOR_ID
        | tl::types::MsgsStateInfo::CONSTRUCTOR_ID
        | tl::types::MsgsAllInfo::CONSTRUCTOR_ID
        | tl::types::MsgDetailedInfo::CONSTRUCTOR_ID
        | tl::types::MsgNewDetailedInfo::CONSTRUCTOR_ID => None,
        _ => Some(true),
    }
}

/// Parameters that cannot be read are passed over: their message asks for nothing that could be answered.
fn read<T: Deserializable>(parameters: &[u8]) -> Option<T> {
    T::from_bytes(parameters).ok()
}

fn pong(msg_id: i64, ping_id: i64) -> Vec<u8> {
    tl::enums::Pong::Pong(tl::types::Pong { msg_id, ping_id }).to_bytes()
}

fn tell_states(session: &mut Session, on: ConnectionId, req_msg_id: i64, ids: &[i64]) {
    let info = session.states(ids);
    let info = tl::enums::MsgsStateInfo::Info(tl::types::MsgsStateInfo { req_msg_id, info });
    session.reply(on, info.to_bytes());
}

fn future_salts(salts: &Salts, req_msg_id: i64, count: i32, now: u64) -> Vec<u8> {
    let future = salts
        .future(count, now)
        .into_iter()
        .map(|it| tl::types::FutureSalt {
            valid_since: it.since,
            valid_until: it.until,
            salt: it.salt,
        });
    let salts = tl::RawVec(future.collect());
    tl::enums::FutureSalts::Salts(tl::types::FutureSalts {
        req_msg_id,
        now: now as i32,
        salts,
    })
    .to_bytes()
}

/// `bad_msg_notification`: the message was not taken, for the reason of that code.
pub fn bad_message(message: &Message, error_code: i32) -> Vec<u8> {
    tl::enums::BadMsgNotification::Notification(tl::types::BadMsgNotification {
        bad_msg_id: message.id,
        bad_msg_seqno: message.seq_no,
        error_code,
    })
    .to_bytes()
}

/// `bad_server_salt`: the message was not taken; here is the salt to use.
pub fn bad_salt(message: &Message, new_server_salt: i64) -> Vec<u8> {
    tl::enums::BadMsgNotification::BadServerSalt(tl::types::BadServerSalt {
        bad_msg_id: message.id,
        bad_msg_seqno: message.seq_no,
        error_code: 48,
        new_server_salt,
    })
    .to_bytes()
}
