//! The wrappers around a call, in any nesting: layer, introduction, order, takeout, no updates.

use bytes::Bytes;
use grammers_tl_types as tl;
use tl::functions as f;
use tl::{Cursor, Deserializable, Identifiable};

use super::envelope::{Room, constructor};
use crate::sandbox::rpc::ClientInfo;

/// More wrappers than any client nests.
const MAX_DEPTH: usize = 16;

/// No wrapper's own part is longer. What lies beyond is not looked at: parameters nest, and a long
/// introduction could be nested deeper than the stack is.
const MAX_HEAD: usize = 4096;

/// A call without its wrappers, and what they said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unwrapped {
    /// The layer, if it was named.
    pub layer: Option<i32>,
    /// The client's introduction. Its layer is the one named, or the one of our schema.
    pub client: Option<ClientInfo>,
    /// Whether the caller wants no updates for it.
    pub without_updates: bool,
    /// The messages that must have succeeded before.
    pub after: Vec<i64>,
    /// The bare function.
    pub body: Bytes,
}

/// A call whose wrappers cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<tl::deserialize::Error> for Malformed {
    fn from(_: tl::deserialize::Error) -> Self {
        Self
    }
}

/// Takes the wrappers off; what is packed must find room.
pub fn unwrap(object: Bytes, room: &Room) -> Result<Unwrapped, Malformed> {
    let mut found = Unwrapped {
        body: object,
        ..Unwrapped::default()
    };
    for _ in 0..MAX_DEPTH {
        found.body = room.unpack(&found.body).ok_or(Malformed)?;
        let id = constructor(&found.body).ok_or(Malformed)?;
        let body = found.body.slice(4..);
        let mut cursor = Cursor::from_slice(&body[..body.len().min(MAX_HEAD)]);
        match id {
            f::InvokeWithLayer::<()>::CONSTRUCTOR_ID => found.layer = Some(i32::deserialize(&mut cursor)?),
            f::InitConnection::<()>::CONSTRUCTOR_ID => found.client = Some(introduction(&mut cursor)?),
            f::InvokeWithoutUpdates::<()>::CONSTRUCTOR_ID => found.without_updates = true,
            f::InvokeAfterMsg::<()>::CONSTRUCTOR_ID => found.after.push(i64::deserialize(&mut cursor)?),
            f::InvokeAfterMsgs::<()>::CONSTRUCTOR_ID => {
                found.after.extend(Vec::<i64>::deserialize(&mut cursor)?);
            }
            f::InvokeWithTakeout::<()>::CONSTRUCTOR_ID => {
                i64::deserialize(&mut cursor)?;
            }
            f::InvokeWithMessagesRange::<()>::CONSTRUCTOR_ID => {
                tl::enums::MessageRange::deserialize(&mut cursor)?;
            }
            _ => {
                if let (Some(client), Some(layer)) = (&mut found.client, found.layer) {
                    client.layer = layer;
                }
                return Ok(found);
            }
        }
        let read = cursor.pos();
        found.body = body.slice(read..);
    }
    Err(Malformed)
}

fn introduction(cursor: &mut Cursor) -> Result<ClientInfo, Malformed> {
    let flags = u32::deserialize(cursor)?;
    let api_id = i32::deserialize(cursor)?;
    let mut text = || String::deserialize(cursor);
    let (device_model, system_version, app_version) = (text()?, text()?, text()?);
    let (_system_lang_code, _lang_pack, lang_code) = (text()?, text()?, text()?);
    if flags & 1 != 0 {
        tl::enums::InputClientProxy::deserialize(cursor)?;
    }
    if flags & 2 != 0 {
        tl::enums::Jsonvalue::deserialize(cursor)?;
    }
    Ok(ClientInfo {
        layer: tl::LAYER,
        api_id,
        device_model,
        system_version,
        app_version,
        lang_code,
    })
}

#[cfg(test)]
mod tests {
    use tl::Serializable;

    use super::*;

    fn unwrap(object: Bytes) -> Result<Unwrapped, Malformed> {
        super::unwrap(object, &Room::default())
    }

    fn introduced<X>(query: X) -> f::InitConnection<X> {
        let param = tl::types::JsonObjectValue {
            key: "tz_offset".into(),
            value: tl::types::JsonNumber { value: 0.0 }.into(),
        };
        f::InitConnection {
            api_id: 17,
            device_model: "desk".into(),
            system_version: "1".into(),
            app_version: "2".into(),
            system_lang_code: "en".into(),
            lang_pack: String::new(),
            lang_code: "de".into(),
            proxy: None,
            params: Some(
                tl::types::JsonObject {
                    value: vec![param.into()],
                }
                .into(),
            ),
            query,
        }
    }

    #[test]
    fn wrappers_come_off_in_any_nesting() {
        let query = f::help::GetConfig {};
        let bare = query.to_bytes();
        let query = f::InvokeWithTakeout { takeout_id: 5, query };
        let query = introduced(f::InvokeWithoutUpdates { query });
        let query = f::InvokeWithLayer { layer: 229, query };
        let query = f::InvokeAfterMsgs {
            msg_ids: vec![8, 12],
            query,
        };
        let found = unwrap(f::InvokeAfterMsg { msg_id: 4, query }.to_bytes().into()).expect("whole");
        assert_eq!(found.body, bare);
        assert_eq!((found.layer, found.without_updates), (Some(229), true));
        assert_eq!(found.after, [4, 8, 12]);
        let client = found.client.expect("introduced");
        assert_eq!(
            (client.layer, client.api_id, client.lang_code.as_str()),
            (229, 17, "de")
        );
    }

    #[test]
    fn a_long_call_is_no_long_wrapper() {
        let query = f::upload::SaveFilePart {
            file_id: 1,
            file_part: 0,
            bytes: vec![7; 100_000],
        };
        let bare = query.to_bytes();
        assert_eq!(
            unwrap(introduced(query).to_bytes().into()).expect("whole").body,
            bare
        );
    }

    #[test]
    fn a_bare_call_stays_as_it_is() {
        let bare = Bytes::from(f::help::GetConfig {}.to_bytes());
        assert_eq!(
            unwrap(bare.clone()),
            Ok(Unwrapped {
                body: bare,
                ..Unwrapped::default()
            })
        );
    }

    #[test]
    fn cut_wrappers_and_bottomless_ones_are_malformed() {
        let whole = introduced(f::help::GetConfig {}).to_bytes();
        for length in [0, 3, 4, 9, 30, whole.len() - 4] {
            assert_eq!(
                unwrap(Bytes::copy_from_slice(&whole[..length])),
                Err(Malformed),
                "{length} bytes"
            );
        }
        let mut deep = Vec::new();
        for _ in 0..100 {
            f::InvokeWithoutUpdates::<()>::CONSTRUCTOR_ID.serialize(&mut deep);
        }
        assert_eq!(unwrap(deep.into()), Err(Malformed));
        let mut nested = introduced(f::help::GetConfig {}).to_bytes();
        let params = nested
            .windows(4)
            .position(|it| it == tl::types::JsonObject::CONSTRUCTOR_ID.to_le_bytes());
        nested.truncate(params.expect("written above"));
        for _ in 0..80_000 {
            tl::types::JsonArray::CONSTRUCTOR_ID.serialize(&mut nested);
            0x1cb5_c415u32.serialize(&mut nested);
            1i32.serialize(&mut nested);
        }
        assert_eq!(unwrap(nested.into()), Err(Malformed));
    }
}
