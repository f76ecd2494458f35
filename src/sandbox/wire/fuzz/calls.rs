//! Calls of every family, to be changed by chance.

use grammers_tl_types as tl;
use tl::Serializable;
use tl::functions as f;

/// Calls of every family, as clients make them.
pub fn calls() -> Vec<Vec<u8>> {
    use tl::enums::{InputPeer, InputUser};
    let send = f::messages::SendMessage {
        no_webpage: false,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: InputPeer::PeerSelf,
        reply_to: None,
        message: "hello 👋".into(),
        random_id: 5,
        reply_markup: None,
        entities: Some(vec![
            tl::types::MessageEntityBold { offset: 0, length: 5 }.into(),
            tl::types::MessageEntityTextUrl {
                offset: 1,
                length: 2,
                url: "https://a.example".into(),
            }
            .into(),
        ]),
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    };
    let history = f::messages::GetHistory {
        peer: InputPeer::PeerSelf,
        offset_id: 3,
        offset_date: 0,
        add_offset: 0,
        limit: 10,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let difference = f::updates::GetDifference {
        pts: 1,
        pts_limit: None,
        pts_total_limit: None,
        date: 1,
        qts: 0,
        qts_limit: None,
    };
    let part = f::upload::SaveFilePart {
        file_id: 1,
        file_part: 0,
        bytes: vec![7; 64],
    };
    let big = f::upload::SaveBigFilePart {
        file_id: 2,
        file_part: 0,
        file_total_parts: 2,
        bytes: vec![7; 64],
    };
    vec![
        send.to_bytes(),
        history.to_bytes(),
        difference.to_bytes(),
        part.to_bytes(),
        big.to_bytes(),
        f::messages::DeleteMessages {
            revoke: true,
            id: vec![1, 2],
        }
        .to_bytes(),
        f::messages::GetMessages {
            id: vec![tl::types::InputMessageId { id: 1 }.into()],
        }
        .to_bytes(),
        f::messages::CreateChat {
            users: vec![InputUser::UserSelf],
            title: "team".into(),
            ttl_period: None,
        }
        .to_bytes(),
        f::channels::CreateChannel {
            broadcast: true,
            megagroup: false,
            for_import: false,
            forum: false,
            title: "news".into(),
            about: "what is new".into(),
            geo_point: None,
            address: None,
            ttl_period: None,
        }
        .to_bytes(),
        f::users::GetUsers {
            id: vec![InputUser::UserSelf],
        }
        .to_bytes(),
        f::users::GetFullUser {
            id: InputUser::UserSelf,
        }
        .to_bytes(),
        f::contacts::ResolveUsername {
            username: "ann".into(),
            referer: None,
        }
        .to_bytes(),
        f::contacts::Search {
            broadcasts: false,
            bots: false,
            q: "a".into(),
            limit: 5,
        }
        .to_bytes(),
        f::account::UpdateUsername {
            username: "ann_of_test".into(),
        }
        .to_bytes(),
        f::auth::ExportLoginToken {
            api_id: 1,
            api_hash: "any".into(),
            except_ids: vec![1],
        }
        .to_bytes(),
        f::auth::ImportLoginToken { token: vec![7; 32] }.to_bytes(),
        f::auth::AcceptLoginToken { token: vec![7; 32] }.to_bytes(),
        f::auth::ResendCode {
            phone_number: "15550001".into(),
            phone_code_hash: "7".into(),
            reason: None,
        }
        .to_bytes(),
        f::account::GetPassword {}.to_bytes(),
        f::auth::CheckPassword {
            password: tl::types::InputCheckPasswordSrp {
                srp_id: 1,
                a: vec![7; 256],
                m1: vec![7; 32],
            }
            .into(),
        }
        .to_bytes(),
    ]
}
