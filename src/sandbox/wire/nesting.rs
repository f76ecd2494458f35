//! Which calls nest too deeply to be read: reading recurs, and a call of a megabyte may nest deeper than the stack is.
//!
//! Pure. It counts, instead of reading, the objects without which nothing nests in itself: on every way from a type of
//! the schema back to the same type lies one of them. Bytes that only look like one count as well; no client's call
//! comes near the limit.

use grammers_tl_types::{Identifiable, functions as f, types as t};

use super::envelope::constructor;

/// More objects of that kind than any client's call has.
const MOST: usize = 64;

/// Whether a call may nest too deeply.
pub fn nests_deeply(call: &[u8]) -> bool {
    match constructor(call) {
        // Flat, and full of whatever the file holds.
        Some(f::upload::SaveFilePart::CONSTRUCTOR_ID | f::upload::SaveBigFilePart::CONSTRUCTOR_ID) => false,
        _ => {
            let words = call.as_chunks::<4>().0.iter();
            words
                .filter(|word| nests(u32::from_le_bytes(**word)))
                .nth(MOST)
                .is_some()
        }
    }
}

fn nests(constructor: u32) -> bool {
    matches!(
        constructor,
        t::InputPeerUserFromMessage::CONSTRUCTOR_ID
            | t::InputPeerChannelFromMessage::CONSTRUCTOR_ID
            | t::InputMediaInvoice::CONSTRUCTOR_ID
            | t::InputMediaPaidMedia::CONSTRUCTOR_ID
            | t::InputMediaPoll::CONSTRUCTOR_ID
            | t::PollAnswer::CONSTRUCTOR_ID
            | t::InputPollAnswer::CONSTRUCTOR_ID
            | t::PollResults::CONSTRUCTOR_ID
            | t::MessageExtendedMedia::CONSTRUCTOR_ID
            | t::StoryItem::CONSTRUCTOR_ID
            | t::PageBlockCover::CONSTRUCTOR_ID
            | t::PageBlockEmbedPost::CONSTRUCTOR_ID
            | t::PageBlockCollage::CONSTRUCTOR_ID
            | t::PageBlockSlideshow::CONSTRUCTOR_ID
            | t::PageBlockDetails::CONSTRUCTOR_ID
            | t::PageBlockBlockquoteBlocks::CONSTRUCTOR_ID
            | t::PageListItemBlocks::CONSTRUCTOR_ID
            | t::PageListOrderedItemBlocks::CONSTRUCTOR_ID
            | t::JsonArray::CONSTRUCTOR_ID
            | t::JsonObject::CONSTRUCTOR_ID
            | t::TextBold::CONSTRUCTOR_ID
            | t::TextItalic::CONSTRUCTOR_ID
            | t::TextUnderline::CONSTRUCTOR_ID
            | t::TextStrike::CONSTRUCTOR_ID
            | t::TextFixed::CONSTRUCTOR_ID
            | t::TextUrl::CONSTRUCTOR_ID
            | t::TextEmail::CONSTRUCTOR_ID
            | t::TextConcat::CONSTRUCTOR_ID
            | t::TextSubscript::CONSTRUCTOR_ID
            | t::TextSuperscript::CONSTRUCTOR_ID
            | t::TextMarked::CONSTRUCTOR_ID
            | t::TextPhone::CONSTRUCTOR_ID
            | t::TextAnchor::CONSTRUCTOR_ID
            | t::TextSpoiler::CONSTRUCTOR_ID
            | t::TextMention::CONSTRUCTOR_ID
            | t::TextHashtag::CONSTRUCTOR_ID
            | t::TextBotCommand::CONSTRUCTOR_ID
            | t::TextCashtag::CONSTRUCTOR_ID
            | t::TextAutoUrl::CONSTRUCTOR_ID
            | t::TextAutoEmail::CONSTRUCTOR_ID
            | t::TextAutoPhone::CONSTRUCTOR_ID
            | t::TextBankCard::CONSTRUCTOR_ID
            | t::TextMentionName::CONSTRUCTOR_ID
            | t::TextDate::CONSTRUCTOR_ID
            | t::TextDiff::CONSTRUCTOR_ID
            | t::TextButton::CONSTRUCTOR_ID
            | t::TextTonAddress::CONSTRUCTOR_ID
    )
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Serializable, enums};

    use super::*;

    fn history_of(peer: enums::InputPeer) -> Vec<u8> {
        let call = f::messages::GetHistory {
            peer,
            offset_id: 0,
            offset_date: 0,
            add_offset: 0,
            limit: 1,
            max_id: 0,
            min_id: 0,
            hash: 0,
        };
        call.to_bytes()
    }

    /// A peer that is known from a message of a peer that is known from a message …
    fn nested(depth: usize) -> enums::InputPeer {
        (0..depth).fold(enums::InputPeer::PeerSelf, |peer, _| {
            let from_message = t::InputPeerUserFromMessage {
                peer,
                msg_id: 1,
                user_id: 2,
            };
            from_message.into()
        })
    }

    #[test]
    fn deep_nests_are_known_and_usual_calls_pass() {
        assert!(!nests_deeply(&history_of(nested(3))));
        assert!(nests_deeply(&history_of(nested(100))));
        let bold = t::TextBold::CONSTRUCTOR_ID.to_le_bytes().repeat(100_000);
        let call = [&f::messages::SendMessage::CONSTRUCTOR_ID.to_le_bytes(), &bold[..]].concat();
        assert!(nests_deeply(&call));
        let part = f::upload::SaveFilePart {
            file_id: 1,
            file_part: 0,
            bytes: bold,
        };
        assert!(!nests_deeply(&part.to_bytes()));
    }
}
