//! The ways of Telegram that a client can be spared, each one a named switch.
//!
//! On means as on Telegram, which is the default; off is the kinder form of before. A row says what Telegram does and
//! how that is known, and docs/sandbox.md has the same table. [`Switches`] is how they are set, [`Switchboard`] what the world
//! has in use. It owns no behaviour: whoever renders an answer or keeps a promise asks the switch, which counts that.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sandbox::switch::Switch;

/// How a way of Telegram is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Telegram's documentation says so; the page.
    Documentation(&'static str),
    /// A client that is in wide use handles it, or a log of one shows it; which.
    Client(&'static str),
    /// Inferred from what clients show or handle.
    Inferred(&'static str),
}

/// One switch.
pub struct Row {
    /// Its name, as the command line, the control port and the documents have it.
    pub name: &'static str,
    /// What Telegram does.
    pub what: &'static str,
    /// How that is known.
    pub source: Source,
    get: fn(&Switches) -> bool,
    set: fn(&mut Switches, bool),
    used: fn(&Switchboard) -> &Switch,
}

impl Row {
    /// Whether it is on.
    pub fn is_on(&self, switches: &Switches) -> bool {
        (self.get)(switches)
    }

    /// How often somebody acted by it while it was on.
    pub fn reached(&self, board: &Switchboard) -> u64 {
        (self.used)(board).reached()
    }
}

/// There is no switch of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no switch {0:?}; GET /switches of the control port lists them")]
pub struct UnknownSwitch(pub String);

macro_rules! switches {
    ($($name:ident = $default:literal: $what:literal, $source:expr;)*) => {
        /// Which of Telegram's ways the sandbox has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Switches {
            $(#[doc = $what] pub $name: bool,)*
        }

        impl Switches {
            /// All of Telegram's ways.
            pub const TELEGRAM: Self = Self { $($name: true,)* };
            /// None of them: the form that every client bears.
            pub const LENIENT: Self = Self { $($name: false,)* };
            /// Every switch.
            pub const ROWS: &[Row] = &[$(Row {
                name: stringify!($name),
                what: $what,
                source: $source,
                get: |switches| switches.$name,
                set: |switches, on| switches.$name = on,
                used: |board| &board.$name,
            },)*];
        }

        /// The switches of a world, in use.
        #[derive(Clone, Debug)]
        pub struct Switchboard {
            $(#[doc = $what] pub $name: Switch,)*
        }

        impl Switchboard {
            /// The switches, set like this; nobody has reached one.
            pub fn new(switches: Switches) -> Self {
                Self { $($name: Switch::new(switches.$name),)* }
            }

            /// How they are set.
            pub fn shown(&self) -> Switches {
                Switches { $($name: self.$name.shown(),)* }
            }

            /// Sets all of them.
            pub fn set(&mut self, switches: Switches) {
                $(self.$name.turn(switches.$name);)*
            }
        }

        impl Default for Switches {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }
    };
}

switches! {
    final_with_updates = true:
        "the last part of a channel's difference is final together with edits and deletions",
        Source::Documentation("updates.channelDifference");
    short_updates = true:
        "a plain text in a private chat or basic group is pushed as updateShortMessage or updateShortChatMessage, without users and chats",
        Source::Client("TDLib, UpdatesManager.cpp:on_get_updates");
    gathered = true:
        "what a login hears within a moment comes in one container, of several kinds; updates without a state of their own are numbered (seq), which getState and getDifference tell",
        Source::Documentation("Working with Updates; updatesCombined");
    calls_side_by_side = true:
        "calls of a connection run side by side and their answers leave in any order, unless one names others to come after (invokeAfterMsg)",
        Source::Documentation("Calling methods");
    quiet_channels = true:
        "of a channel that a login does not look at, events are told late now and then, or only announced (updateChannelTooLong); who does not keep up hears updatesTooLong instead of what waits for it",
        Source::Documentation("Working with Updates; updatesTooLong");
    untold_channels = false:
        "of a channel that a login does not look at, events are now and then not told at all",
        Source::Inferred("clients poll the channels that they show");
    read_by_posting = true:
        "who posts has read what was there: the answer and the other sessions have updateReadHistoryInbox, or updateReadChannelInbox before the message",
        Source::Client("Telethon");
    unordered_answers = true:
        "the updates of an answer come in any order, updateMessageID not always first",
        Source::Inferred("clients look for it anywhere");
    repeat_keeps_pts = true:
        "a repeated random id is answered with the state that the first message had, not with the present one",
        Source::Client("a log of a client");
    parts_move_alone = true:
        "a part of a difference has a date and a qts of its own, and may move nothing else: secret chats, and news of chats, come before the rest",
        Source::Client("TDLib, UpdatesManager.cpp:on_get_difference");
    timeout_when_final = true:
        "a channel's difference says when to ask again only if it is final",
        Source::Client("TDLib, MessagesManager.cpp:on_get_channel_difference");
    short_differences = true:
        "a user's limit for a channel's difference is 10 to 100; bots may ask for more",
        Source::Documentation("updates.getChannelDifference");
    too_long_beyond_limit = false:
        "a channel's difference is too long if more was missed than the limit that the client gave",
        Source::Documentation("updates.channelDifferenceTooLong");
    words_when_put_out = true:
        "who was put out of a channel hears CHANNEL_PRIVATE as 406; its difference of a public one CHANNEL_PUBLIC_GROUP_NA (403) of a group, USER_BANNED_IN_CHANNEL of a channel",
        Source::Documentation("updates.getChannelDifference");
    differences_fail = false:
        "a channel's difference fails now and then: PERSISTENT_TIMESTAMP_OUTDATED, HISTORY_GET_FAILED (500)",
        Source::Documentation("updates.getChannelDifference");
    too_long_names_pts = true:
        "updateChannelTooLong names the channel's present state",
        Source::Documentation("updateChannelTooLong");
    min_peers = true:
        "an update of a channel or supergroup shows others with `min` records: part of a name, and an access hash that no call takes",
        Source::Documentation("min");
    member_updates = true:
        "those who are in a basic group are told of one member who came, went or was promoted, not of all members anew",
        Source::Documentation("updateChatParticipantAdd, updateChatParticipantDelete, updateChatParticipantAdmin");
    told_while_away = true:
        "a difference tells of the chats that came, went or changed for the account: updateChannel or updateChat, and the present record, be it a forbidden one",
        Source::Client("TDLib, UpdatesManager.cpp:process_get_difference_updates");
    profile_updates = true:
        "new names and pictures of users, and deleted accounts, are told to those who know them",
        Source::Documentation("updateUserName, updateUser");
    contents_read = true:
        "listening to a voice message or watching a round video is an event: with its place in the sequence in private chats and basic groups, for one's other sessions in channels",
        Source::Documentation("updateReadMessagesContents, updateChannelReadMessagesContents");
    blocked_in_silence = true:
        "a message to who has blocked its author is taken, and not delivered; bots alone hear USER_IS_BLOCKED",
        Source::Client("tdlib issue 2431, tdesktop issue 908");
    muted_may_not_write = true:
        "who is muted in a supergroup hears CHAT_WRITE_FORBIDDEN (403); USER_BANNED_IN_CHANNEL is for accounts that Telegram limits",
        Source::Inferred("the words of the documented errors");
    refused_as_406 = true:
        "refusals that are documented with both codes come as 406 now and then, and what to show as updateServiceNotification",
        Source::Documentation("errors");
    high_numbers = false:
        "new users, groups and channels have numbers beyond 32 bits, sequences begin in the millions, numbers of messages have holes",
        Source::Client("TDLib, UserId.h, ChannelId.h: numbers of users and channels are of 64 bits");
    duplicate_while_sending = true:
        "a random id whose first call still runs is refused with RANDOM_ID_DUPLICATE (500)",
        Source::Client("tables of errors in clients");
    sequence_numbers = true:
        "a message whose sequence number falls is refused: bad_msg_notification 32, 33",
        Source::Documentation("mtproto/service_messages_about_messages");
    sequence_parity = true:
        "a container with an odd sequence number, a call with an even one is refused: bad_msg_notification 34, 35",
        Source::Documentation("mtproto/service_messages_about_messages");
    inner_ids = true:
        "the ids of a container's messages are judged like its own, but may be old, and are lower than it",
        Source::Documentation("mtproto/service_messages_about_messages");
    file_references_end = true:
        "a file reference is its account's and its message's, and ends after hours or with that message",
        Source::Documentation("file-references");
    numbered_file_references = true:
        "a refused file reference of an album names the part: FILE_REFERENCE_2_EXPIRED",
        Source::Client("TDLib");
    long_padding = false:
        "in the padded transport up to 15 bytes follow a packet, not up to three",
        Source::Documentation("mtproto-transports");
    older_layers = false:
        "a push of a channel's messages comes now and then in the constructors of an older layer than the client's",
        Source::Documentation("Calling methods");
    user_migrate = true:
        "an account that has moved is sent on with USER_MIGRATE_n (303) by every call at its old data centre",
        Source::Documentation("errors");
    codes_of_their_key = true:
        "the hash of a login code is good under the key only that asked for it",
        Source::Inferred("clients begin anew after they lost their key");
    resend_waits = true:
        "a code is not sent the next way before the time that its answer names: SEND_CODE_UNAVAILABLE (406)",
        Source::Client("TDLib, SendCodeHelper.cpp:resend_code");
    duplicated_key_dies = true:
        "a key over whose two main connections calls come in turns ends: AUTH_KEY_DUPLICATED (406)",
        Source::Documentation("errors");
    saved_messages_incoming = true:
        "messages in the chat with oneself are not outgoing, and name the chat that they are saved under",
        Source::Client("TDLib, MessagesManager.cpp: an outgoing message to oneself is taken as incoming");
    signed_posts = true:
        "a channel with signatures tells the author's name with each post, and with forwards of it",
        Source::Documentation("message");
    anonymous_admins = true:
        "who of those who run a supergroup is anonymous writes in its name: the group itself is the sender",
        Source::Documentation("channel");
    hidden_forwards = true:
        "a forward of a user who hides tells the name and not the user",
        Source::Documentation("messageFwdHeader");
    discussion_groups = true:
        "a channel's posts are forwarded by themselves into the supergroup that is linked to it, in the channel's name",
        Source::Documentation("discussion");
    parameters_refused = true:
        "a parameter of a sending call that can have no effect is refused with the documented name: times to come, names of others, keyboards of users, media that vanish",
        Source::Documentation("messages.sendMessage, messages.sendMedia, messages.forwardMessages");
    replies_elsewhere = true:
        "an answer to a message of another chat tells who wrote that and what it carries; its number and its chat only to who may see it",
        Source::Documentation("messageReplyHeader");
    threads = true:
        "an answer to an answer in a supergroup names the message that began the thread",
        Source::Documentation("threads");
    dialogs_by_date = true:
        "a page of dialogs begins behind the date and the number that the client names, wherever the chat that it names stands now",
        Source::Documentation("offsets");
    archive_in_all = true:
        "a list of dialogs for which no folder is named has those of the archive among the others",
        Source::Client("Telethon, client/dialogs.py");
    hidden_tops = true:
        "a chat whose owner may see none of its messages has a last one all the same, which is told as empty or not at all",
        Source::Client("TDLib, MessagesManager.cpp:on_get_dialogs; Telethon, client/dialogs.py");
    spans_settled = true:
        "spans of one kind that touch are made one, nothing stands in code, and spans that overlap are split; the same at each edit",
        Source::Client("TDLib, MessageEntity.cpp:fix_formatted_text");
    all_found = true:
        "names of hosts without a scheme, phone numbers and bank cards are found in texts, too",
        Source::Client("TDLib, MessageEntity.cpp:find_entities");
    emoji_of_subscribers = true:
        "custom emoji of who has no Premium are dropped, but in the chat with oneself",
        Source::Documentation("custom-emoji");
    many_options = true:
        "help.getConfig names more than one address of a data centre: of version 6, for media, obfuscated only, and a CDN",
        Source::Documentation("dcOption");
    hundred_numbers = true:
        "of the messages that a call names by number the first hundred are looked at",
        Source::Inferred("clients name no more at a time");
    counters_told = true:
        "views and forwards of a channel's posts are counted and told without a place in the sequence",
        Source::Documentation("updateChannelMessageViews, updateChannelMessageForwards");
    link_previews = true:
        "a text with a link shows a preview: pending at first, if nobody asked for the page before, and a moment later the page comes (updateWebPage, updateChannelWebPage with an edit that has no date)",
        Source::Client("TDLib, WebPagesManager.cpp:on_get_web_page");
    protection_told = true:
        "those who are in a basic group are told when it is protected, or no longer",
        Source::Inferred("clients show it at once; a supergroup's members hear updateChannel");
    pictures_anew = true:
        "a picture is made anew: other bytes than were uploaded, at most 2560 pixels a side, in several sizes; its name and its shape are checked",
        Source::Documentation("files; photoSizeProgressive; messages.sendMedia");
    messages_vanish = true:
        "a message with a ttl_period is deleted by itself, and media with ttl_seconds are without a file once they were seen, and cannot be handed on",
        Source::Documentation("message; messageMediaPhoto; messages.setHistoryTTL");
    kinds_probed = true:
        "the server finds out itself what a document is: silent videos and GIFs are animations, small WebPs stickers, images have measures, and what can be seen has a thumbnail; force_file and nosound_video keep it from that",
        Source::Documentation("inputMediaUploadedDocument; documentAttributeAnimated");
    part_rules = true:
        "each part of an upload is checked as it comes: its number, its size against the others', and ten mebibytes are the most in small parts; the sum of a small file is checked when it is used",
        Source::Documentation("files; upload.saveFilePart, upload.saveBigFilePart");
    albums_apart = true:
        "each part of an album is told by itself, a moment or now and then seconds after the one before it, and a part of a difference may end between two of them",
        Source::Client("TDLib, Telethon, kurigram: what is sent as an album is told as messages with a grouped_id, and gathered by time");
}

impl Default for Switchboard {
    fn default() -> Self {
        Self::new(Switches::default())
    }
}

impl Switchboard {
    /// Turns several, or none if one of the names is unknown.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn turn_all(&mut self, wanted: &BTreeMap<String, bool>) -> Result<(), UnknownSwitch> {
        let mut turned = self.shown();
        turned.turn_all(wanted)?;
        self.set(turned);
        Ok(())
    }
}

impl Switches {
    /// Turns a switch.
    ///
    /// # Errors
    /// If there is none of that name; then nothing has changed.
    pub fn turn(&mut self, name: &str, on: bool) -> Result<(), UnknownSwitch> {
        let row = Self::ROWS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| UnknownSwitch(name.to_owned()))?;
        (row.set)(self, on);
        Ok(())
    }

    /// Turns several, or none if one of the names is unknown.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn turn_all(&mut self, wanted: &BTreeMap<String, bool>) -> Result<(), UnknownSwitch> {
        let mut turned = *self;
        for (name, on) in wanted {
            turned.turn(name, *on)?;
        }
        *self = turned;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_turned_by_its_name_and_no_other() {
        for row in Switches::ROWS {
            let mut switches = Switches::LENIENT;
            switches.turn(row.name, true).expect("a known name");
            let on: Vec<_> = (Switches::ROWS.iter())
                .filter(|it| it.is_on(&switches))
                .map(|it| it.name)
                .collect();
            assert_eq!(on, [row.name]);
        }
        let mut switches = Switches::LENIENT;
        let wanted = BTreeMap::from([
            ("final_with_updates".to_owned(), true),
            ("nothing".to_owned(), true),
        ]);
        assert_eq!(switches.turn_all(&wanted), Err(UnknownSwitch("nothing".into())));
        assert_eq!(switches, Switches::LENIENT, "all or none");
    }

    #[test]
    fn every_switch_stands_in_the_documents() {
        let page = include_str!("../../../docs/sandbox.md");
        for row in Switches::ROWS {
            assert!(
                page.contains(&format!("| `{}` |", row.name)),
                "{} is not in docs/sandbox.md",
                row.name
            );
        }
    }
}
