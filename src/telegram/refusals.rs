//! The one table from Telegram's errors to classes of refusals. Pure.
//!
//! Names: <https://core.telegram.org/api/errors>; a number within a name is taken out of it before. A name that is in no
//! row is classed by its code. What a refused difference of a channel means is not said here: the update path knows no
//! refusal that ends more than that channel.

use crate::base::Timestamp;
use crate::model::SessionState;
use crate::model::refusal::{Less, Obstacle, Refusal, Scope, Stale};

/// The class of an error. `until` is when a wait that it names ends.
pub(crate) fn classify(code: i32, name: &str, until: Timestamp) -> Refusal {
    by_name(code, name, until).unwrap_or_else(|| by_code(code, until))
}

/// The class of an error whose name is in no row.
fn by_code(code: i32, until: Timestamp) -> Refusal {
    match code {
        420 => Refusal::Wait {
            until,
            scope: Scope::Account,
        },
        401 => Refusal::Ended(SessionState::BadCredentials),
        303 => Refusal::Elsewhere,
        // Telegram's own trouble: whether the work was done is not known.
        code if !(0..500).contains(&code) => Refusal::Uncertain,
        _ => Refusal::Refused,
    }
}

fn by_name(code: i32, name: &str, until: Timestamp) -> Option<Refusal> {
    let found = of_account(code, name)
        .or_else(|| of_wait(name, until))
        .or_else(|| of_call(code, name))
        .or_else(|| of_chat(name))
        .or_else(|| of_message(name))
        .or_else(|| of_login(name));
    found.or_else(|| DEFECTS.contains(&name).then_some(Refusal::Defect))
}

/// What ends or freezes an account. The same words may come with another code and be about another account.
fn of_account(code: i32, name: &str) -> Option<Refusal> {
    Some(match (code, name) {
        (401 | 406, "AUTH_KEY_DUPLICATED") => Refusal::Ended(SessionState::BadCredentials),
        (401 | 403 | 406, "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN") => {
            Refusal::Ended(SessionState::Banned)
        }
        (
            401,
            "AUTH_KEY_UNREGISTERED"
            | "AUTH_KEY_INVALID"
            | "AUTH_KEY_PERM_EMPTY"
            | "SESSION_EXPIRED"
            | "SESSION_REVOKED",
        ) => Refusal::Ended(SessionState::BadCredentials),
        (_, "FROZEN_METHOD_INVALID" | "FROZEN_PARTICIPANT_MISSING") => Refusal::Frozen,
        (_, "PEER_FLOOD") => Refusal::PeerFlood,
        _ => return None,
    })
}

fn of_wait(name: &str, until: Timestamp) -> Option<Refusal> {
    let scope = match name {
        "FLOOD_WAIT" | "FLOOD_PREMIUM_WAIT" | "FLOOD_TEST_PHONE_WAIT" => Scope::Account,
        "SLOWMODE_WAIT" => Scope::Chat,
        _ => return None,
    };
    Some(Refusal::Wait { until, scope })
}

/// What concerns the call and not what it is about.
fn of_call(code: i32, name: &str) -> Option<Refusal> {
    Some(match name {
        "PHONE_MIGRATE" | "NETWORK_MIGRATE" | "STATS_MIGRATE" if code == 303 => Refusal::Elsewhere,
        // No call was made, and none is until the session has followed the account.
        "USER_MIGRATE" if code == 303 => Refusal::Unavailable,
        "FILE_MIGRATE" => Refusal::Elsewhere,
        // No call was made: the connection has to introduce itself anew.
        "CONNECTION_NOT_INITED" | "CONNECTION_LAYER_INVALID" => Refusal::Unavailable,
        // The number of an album's part is taken out of the name.
        "FILE_REFERENCE_EXPIRED"
        | "FILE_REFERENCE_INVALID"
        | "FILE_REFERENCE_EMPTY"
        | "FILEREF_UPGRADE_NEEDED" => Refusal::Renew(Stale::File),
        "SRP_ID_INVALID" | "SRP_PASSWORD_CHANGED" => Refusal::Renew(Stale::Password),
        "MESSAGE_NOT_MODIFIED"
        | "CHAT_NOT_MODIFIED"
        | "STICKERSET_NOT_MODIFIED"
        | "USER_ALREADY_PARTICIPANT" => Refusal::Done,
        "RANDOM_ID_DUPLICATE" => Refusal::Duplicate,
        "AUTH_KEY_UNSYNCHRONIZED"
        | "AUTH_RESTART"
        | "MSG_WAIT_FAILED"
        | "MSG_WAIT_TIMEOUT"
        | "PERSISTENT_TIMESTAMP_OUTDATED"
        | "SIGN_IN_FAILED" => Refusal::Uncertain,
        _ => return None,
    })
}

/// What a chat does not allow until somebody changes that.
fn of_chat(name: &str) -> Option<Refusal> {
    let obstacle = match name {
        "CHAT_WRITE_FORBIDDEN"
        | "CHAT_SEND_PLAIN_FORBIDDEN"
        | "CHAT_ADMIN_REQUIRED"
        | "CHAT_FORBIDDEN"
        | "CHAT_RESTRICTED"
        | "CHAT_GUEST_SEND_FORBIDDEN"
        | "USER_BANNED_IN_CHANNEL"
        | "USER_IS_BLOCKED"
        | "USER_PRIVACY_RESTRICTED"
        | "YOU_BLOCKED_USER"
        | "ADMIN_RIGHTS_EMPTY"
        | "BANNED_RIGHTS_INVALID"
        | "BOT_ACCESS_FORBIDDEN"
        | "INLINE_BOT_REQUIRED"
        | "MESSAGE_AUTHOR_REQUIRED"
        | "MESSAGE_DELETE_FORBIDDEN"
        | "PRIVACY_PREMIUM_REQUIRED"
        | "SELF_DELETE_RESTRICTED"
        | "SEND_AS_PEER_INVALID"
        | "USER_ADMIN_INVALID"
        | "USER_BOT_TO_BOT_DISABLED"
        | "USER_IS_BOT" => Obstacle::NoRights,
        "PEER_ID_INVALID"
        | "PEER_ID_NOT_SUPPORTED"
        | "CHANNEL_INVALID"
        | "CHANNEL_MONOFORUM_UNSUPPORTED"
        | "CHANNEL_PRIVATE"
        | "CHANNEL_PUBLIC_GROUP_NA"
        | "CHAT_ID_INVALID"
        | "FROM_PEER_INVALID"
        | "INPUT_USER_DEACTIVATED"
        | "PARTICIPANT_ID_INVALID"
        | "REPLY_TO_MONOFORUM_PEER_INVALID"
        | "USERNAME_INVALID"
        | "USERNAME_NOT_OCCUPIED"
        | "USER_ID_INVALID"
        | "USER_NOT_PARTICIPANT" => Obstacle::ChatUnknown,
        "TOPIC_CLOSED" => Obstacle::TopicClosed,
        "TOPIC_DELETED" => Obstacle::TopicDeleted,
        "ALLOW_PAYMENT_REQUIRED" | "BALANCE_TOO_LOW" | "PAYMENT_UNSUPPORTED" => Obstacle::PaymentRequired,
        "CHAT_FORWARDS_RESTRICTED" => return Some(Refusal::Protected),
        _ => return None,
    };
    Some(Refusal::Hold(obstacle))
}

/// What concerns one message.
fn of_message(name: &str) -> Option<Refusal> {
    Some(match name {
        "MESSAGE_ID_INVALID" | "MESSAGE_IDS_EMPTY" | "MSG_ID_INVALID" | "MESSAGE_EDIT_TIME_EXPIRED" => {
            Refusal::Gone
        }
        "REPLY_MESSAGE_ID_INVALID" | "REPLY_TO_INVALID" | "REPLY_TO_USER_INVALID" | "QUOTE_TEXT_INVALID" => {
            Refusal::ReplyGone
        }
        "ENTITY_BOUNDS_INVALID"
        | "ENTITY_MENTION_USER_INVALID"
        | "ENTITY_DATE_FORMAT_INVALID"
        | "ENTITY_DATE_INVALID"
        | "ENTITY_DATE_TOO_LONG"
        | "ENTITIES_TOO_LONG" => Refusal::Simplify(Less::Formatting),
        "SLOWMODE_MULTI_MSGS_DISABLED" => Refusal::Simplify(Less::Together),
        "MESSAGE_TOO_LONG"
        | "MEDIA_CAPTION_TOO_LONG"
        | "MULTI_MEDIA_TOO_LONG"
        | "FILE_PARTS_INVALID"
        | "FILE_PART_TOO_BIG" => Refusal::TooBig,
        "VOICE_MESSAGES_FORBIDDEN"
        | "BOT_GAMES_DISABLED"
        | "BOT_PAYMENTS_DISABLED"
        | "BROADCAST_PUBLIC_VOTERS_FORBIDDEN"
        | "PREMIUM_ACCOUNT_REQUIRED" => Refusal::KindForbidden,
        name if name.starts_with("CHAT_SEND_") && name.ends_with("_FORBIDDEN") => Refusal::KindForbidden,
        name if REFUSED.contains(&name) => Refusal::Refused,
        _ => return None,
    })
}

/// Steps of a login, and what was typed in one.
fn of_login(name: &str) -> Option<Refusal> {
    let login = matches!(
        name,
        "AUTH_BYTES_INVALID"
            | "AUTH_TOKEN_ALREADY_ACCEPTED"
            | "AUTH_TOKEN_EXCEPTION"
            | "AUTH_TOKEN_EXPIRED"
            | "AUTH_TOKEN_INVALID"
            | "AUTH_TOKEN_INVALIDX"
            | "EMAIL_INSTALL_MISSING"
            | "FRESH_RESET_AUTHORISATION_FORBIDDEN"
            | "HASH_INVALID"
            | "PASSWORD_HASH_INVALID"
            | "SEND_CODE_UNAVAILABLE"
            // A 401 that ends nothing.
            | "SESSION_PASSWORD_NEEDED"
            | "SMS_CODE_CREATE_FAILED"
            | "UPDATE_APP_TO_LOGIN"
    );
    (login || name.starts_with("PHONE_")).then_some(Refusal::Login)
}

/// What Telegram does not like of this one message, request or search.
const REFUSED: &[&str] = &[
    "CURRENCY_TOTAL_AMOUNT_INVALID",
    "CONTACT_NAME_EMPTY",
    "CONTACT_ID_INVALID",
    "DOCUMENT_INVALID",
    "EDIT_MESSAGE_TEMP_RESTRICTED",
    "EFFECT_CHAT_INVALID",
    "EFFECT_ID_INVALID",
    "EMOTICON_INVALID",
    "ENCRYPTION_DECLINED",
    "EXTENDED_MEDIA_AMOUNT_INVALID",
    "EXTENDED_MEDIA_EMPTY",
    "EXTENDED_MEDIA_INVALID",
    "EXTENDED_MEDIA_PEER_INVALID",
    "EXTERNAL_URL_INVALID",
    "FILE_PART_MISSING",
    "GAME_BOT_INVALID",
    "GROUPED_MEDIA_INVALID",
    "IMAGE_PROCESS_FAILED",
    "INPUT_FILE_INVALID",
    "INVOICE_PAYLOAD_INVALID",
    "MEDIA_EMPTY",
    "MEDIA_FILE_INVALID",
    "MEDIA_GROUPED_INVALID",
    "MEDIA_INVALID",
    "MEDIA_NEW_INVALID",
    "MEDIA_PREV_INVALID",
    "MEDIA_TTL_INVALID",
    "MESSAGE_EMPTY",
    "PAYMENT_PROVIDER_INVALID",
    "PHOTO_EXT_INVALID",
    "PHOTO_INVALID_DIMENSIONS",
    "PHOTO_SAVE_FILE_INVALID",
    "PINNED_DIALOGS_TOO_MUCH",
    "POLL_ANSWERS_INVALID",
    "POLL_ANSWER_INVALID",
    "POLL_OPTION_DUPLICATE",
    "POLL_OPTION_INVALID",
    "POLL_QUESTION_INVALID",
    "QUERY_TOO_SHORT",
    "QUIZ_ANSWER_MISSING",
    "QUIZ_CORRECT_ANSWERS_EMPTY",
    "QUIZ_CORRECT_ANSWERS_TOO_MUCH",
    "QUIZ_CORRECT_ANSWER_INVALID",
    "QUIZ_MULTIPLE_INVALID",
    "REPLY_MESSAGES_TOO_MUCH",
    "SCHEDULE_DATE_INVALID",
    "SCHEDULE_DATE_TOO_LATE",
    "SCHEDULE_STATUS_PRIVATE",
    "SCHEDULE_TOO_MUCH",
    "SEARCH_QUERY_EMPTY",
    "STARREF_EXPIRED",
    "STARS_INVOICE_INVALID",
    "STORIES_NEVER_CREATED",
    "STORY_ID_INVALID",
    "SUBSCRIPTION_EXPORT_MISSING",
    "SUGGESTED_POST_AMOUNT_INVALID",
    "SUGGESTED_POST_PEER_INVALID",
    "TERMS_URL_INVALID",
    "TODO_ITEMS_EMPTY",
    "TODO_ITEMS_TOO_MUCH",
    "TODO_ITEM_DUPLICATE",
    "TTL_MEDIA_INVALID",
    "VIDEO_CONTENT_TYPE_INVALID",
    "WC_CONVERT_URL_INVALID",
    "WEBDOCUMENT_MIME_INVALID",
    "WEBPAGE_CURL_FAILED",
    "WEBPAGE_MEDIA_EMPTY",
    "WEBPAGE_NOT_FOUND",
    "WEBPAGE_URL_INVALID",
];

/// What no right call is answered with.
const DEFECTS: &[&str] = &[
    "API_ID_INVALID",
    "API_ID_PUBLISHED_FLOOD",
    "BOT_DOMAIN_INVALID",
    "BOT_INVALID",
    "BOT_METHOD_INVALID",
    "BUSINESS_CONNECTION_INVALID",
    "BUSINESS_CONNECTION_NOT_ALLOWED",
    "BUSINESS_PEER_INVALID",
    "BUSINESS_PEER_USAGE_MISSING",
    "BUTTON_COPY_TEXT_INVALID",
    "BUTTON_DATA_INVALID",
    "BUTTON_ID_INVALID",
    "BUTTON_POS_INVALID",
    "BUTTON_TYPE_INVALID",
    "BUTTON_URL_INVALID",
    "BUTTON_USER_INVALID",
    "BUTTON_USER_PRIVACY_RESTRICTED",
    "CDN_METHOD_INVALID",
    "CONNECTION_API_ID_INVALID",
    "CONNECTION_APP_VERSION_EMPTY",
    "CONNECTION_DEVICE_MODEL_EMPTY",
    "CONNECTION_LANG_PACK_INVALID",
    "CONNECTION_SYSTEM_EMPTY",
    "CONNECTION_SYSTEM_LANG_CODE_EMPTY",
    "DATA_INVALID",
    "DATE_EMPTY",
    "DC_ID_INVALID",
    "FILE_PART_EMPTY",
    "FILE_PART_INVALID",
    "FILE_PART_LENGTH_INVALID",
    "FILE_PART_SIZE_CHANGED",
    "FILE_PART_SIZE_INVALID",
    "FILE_PART_TOO_SMALL",
    "FOLDER_ID_INVALID",
    "FROM_MESSAGE_BOT_DISABLED",
    "INPUT_CONSTRUCTOR_INVALID",
    "INPUT_FETCH_ERROR",
    "INPUT_FETCH_FAIL",
    "INPUT_FILTER_INVALID",
    "INPUT_LAYER_INVALID",
    "INPUT_METHOD_INVALID",
    "INPUT_PEERS_EMPTY",
    "INPUT_REQUEST_TOO_LONG",
    "MD5_CHECKSUM_INVALID",
    "OFFSET_PEER_ID_INVALID",
    "PEER_TYPES_INVALID",
    "PERSISTENT_TIMESTAMP_EMPTY",
    "PERSISTENT_TIMESTAMP_INVALID",
    "QUICK_REPLIES_BOT_NOT_ALLOWED",
    "QUICK_REPLIES_TOO_MUCH",
    "RANDOM_ID_EMPTY",
    "RANDOM_ID_INVALID",
    "RANGES_INVALID",
    "REPLY_MARKUP_BUY_EMPTY",
    "REPLY_MARKUP_GAME_EMPTY",
    "REPLY_MARKUP_INVALID",
    "REPLY_MARKUP_TOO_LONG",
    "SCHEDULE_BOT_NOT_ALLOWED",
    "TAKEOUT_INVALID",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const UNTIL: Timestamp = Timestamp(1000);

    /// What Telegram documents: code, name without its number, and the methods that may answer it.
    fn documented() -> Vec<(i32, String, Vec<String>)> {
        let rows = include_str!("../../tests/data/telegram-errors.tsv").lines();
        let rows = rows.filter(|row| !row.starts_with('#')).map(|row| {
            let mut columns = row.split('\t');
            let mut column = || columns.next().expect("three columns");
            let code = column().parse().expect("a code");
            let name = column().replace("_%d", "");
            let methods = column().split(',').map(str::to_owned).collect();
            (code, name, methods)
        });
        rows.collect()
    }

    /// The methods that the sources call.
    fn called() -> BTreeSet<String> {
        fn read(folder: &Path, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    read(&path, found);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("text");
                for place in text.split("functions::").skip(1) {
                    let word = |text: &str| {
                        let letter = |letter: &char| letter.is_ascii_alphanumeric();
                        text.chars().take_while(letter).collect::<String>()
                    };
                    if let Some((space, rest)) = place.split_once("::") {
                        let name = word(rest);
                        let Some(first) = name.chars().next().filter(char::is_ascii_uppercase) else {
                            continue;
                        };
                        let name = format!("{}{}", first.to_ascii_lowercase(), &name[1..]);
                        found.insert(format!("{space}.{name}"));
                    }
                }
            }
        }
        let mut found = BTreeSet::new();
        read(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telegram"),
            &mut found,
        );
        found
    }

    #[test]
    fn every_documented_error_of_a_method_that_is_called_has_a_class() {
        let called = called();
        assert!(
            called.contains("messages.sendMessage") && called.len() > 25,
            "{called:?}"
        );
        let mut pairs = 0;
        let mut without = Vec::new();
        for (code, name, methods) in documented() {
            let concerned = methods
                .iter()
                .filter(|it| *it == "-" || called.contains(*it))
                .count();
            pairs += concerned;
            if concerned > 0 && by_name(code, &name, UNTIL).is_none() {
                without.push(format!("{code} {name}"));
            }
        }
        assert!(without.is_empty(), "{without:#?}");
        assert!(pairs > 400, "{pairs} pairs");
    }

    #[test]
    fn only_a_refusal_of_the_authorisation_ends_it() {
        for (code, name, _) in documented() {
            let ends = matches!(classify(code, &name, UNTIL), Refusal::Ended(_));
            let may = match name.as_str() {
                "SESSION_PASSWORD_NEEDED" => false,
                "AUTH_KEY_DUPLICATED" => true,
                name => code == 401 || name.starts_with("USER_DEACTIVATED") && matches!(code, 403 | 406),
            };
            assert_eq!(ends, may, "{code} {name}");
        }
    }

    #[test]
    fn waits_carry_their_end_and_a_frozen_account_is_none() {
        let wait = |scope| Refusal::Wait { until: UNTIL, scope };
        assert_eq!(classify(420, "FLOOD_WAIT", UNTIL), wait(Scope::Account));
        assert_eq!(classify(420, "SLOWMODE_WAIT", UNTIL), wait(Scope::Chat));
        assert_eq!(classify(420, "SOMETHING_NEW", UNTIL), wait(Scope::Account));
        assert_eq!(classify(420, "FROZEN_METHOD_INVALID", UNTIL), Refusal::Frozen);
    }

    #[test]
    fn a_name_of_tomorrow_is_classed_by_its_code() {
        for (code, class) in [
            (303, Refusal::Elsewhere),
            (400, Refusal::Refused),
            (401, Refusal::Ended(SessionState::BadCredentials)),
            (403, Refusal::Refused),
            (404, Refusal::Refused),
            (406, Refusal::Refused),
            (500, Refusal::Uncertain),
            (503, Refusal::Uncertain),
            (-500, Refusal::Uncertain),
            (-503, Refusal::Uncertain),
        ] {
            assert_eq!(classify(code, "OF_TOMORROW", UNTIL), class, "{code}");
        }
    }

    #[test]
    fn a_kind_is_not_the_chat() {
        for kind in ["PHOTOS", "VIDEOS", "DOCS", "VOICES", "OF_TOMORROW"] {
            let name = format!("CHAT_SEND_{kind}_FORBIDDEN");
            assert_eq!(classify(403, &name, UNTIL), Refusal::KindForbidden, "{name}");
        }
        let plain = classify(403, "CHAT_SEND_PLAIN_FORBIDDEN", UNTIL);
        assert_eq!(plain, Refusal::Hold(Obstacle::NoRights));
    }
}
