//! The calls that send or read a chat, with everything optional left out: a base to fill in what is wanted.

use grammers_client::tl::enums::{InputMedia, InputPeer};
use grammers_client::tl::functions::messages;

pub(super) fn send_message() -> messages::SendMessage {
    messages::SendMessage {
        no_webpage: false,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: InputPeer::Empty,
        reply_to: None,
        message: String::new(),
        random_id: 0,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    }
}

pub(super) fn send_media() -> messages::SendMedia {
    messages::SendMedia {
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: InputPeer::Empty,
        reply_to: None,
        media: InputMedia::Empty,
        message: String::new(),
        random_id: 0,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
    }
}

pub(super) fn send_multi_media() -> messages::SendMultiMedia {
    messages::SendMultiMedia {
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: InputPeer::Empty,
        reply_to: None,
        multi_media: Vec::new(),
        schedule_date: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
    }
}

pub(super) fn forward_messages() -> messages::ForwardMessages {
    messages::ForwardMessages {
        silent: false,
        background: false,
        with_my_score: false,
        drop_author: false,
        drop_media_captions: false,
        noforwards: false,
        allow_paid_floodskip: false,
        from_ephemeral: false,
        from_peer: InputPeer::Empty,
        id: Vec::new(),
        random_id: Vec::new(),
        to_peer: InputPeer::Empty,
        top_msg_id: None,
        reply_to: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        video_timestamp: None,
        allow_paid_stars: None,
        suggested_post: None,
    }
}

pub(super) fn edit_message() -> messages::EditMessage {
    messages::EditMessage {
        no_webpage: false,
        invert_media: false,
        peer: InputPeer::Empty,
        id: 0,
        message: None,
        media: None,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        quick_reply_shortcut_id: None,
        rich_message: None,
    }
}

/// The latest messages of a chat, at most so many.
pub(super) fn get_history(peer: InputPeer, limit: i32) -> messages::GetHistory {
    messages::GetHistory {
        peer,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit,
        max_id: 0,
        min_id: 0,
        hash: 0,
    }
}
