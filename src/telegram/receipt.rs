//! Telegram's answer to a send: which message each effect became. Pure.

use std::collections::HashMap;

use grammers_client::tl;

use super::outgoing::SentPart;
use crate::base::Timestamp;
use crate::model::MessageId;

/// The parts that the answer tells of, in the order of their names; none if it tells of no one.
pub(crate) fn read(answer: &tl::enums::Updates, names: &[i64]) -> Option<Vec<SentPart>> {
    match answer {
        tl::enums::Updates::UpdateShortSentMessage(sent) => {
            let [random_id] = names else { return None };
            (sent.id != 0).then(|| vec![part(*random_id, sent.id, sent.date)])
        }
        tl::enums::Updates::Updates(it) => read_updates(&it.updates, names),
        tl::enums::Updates::Combined(it) => read_updates(&it.updates, names),
        _ => None,
    }
}

fn read_updates(updates: &[tl::enums::Update], names: &[i64]) -> Option<Vec<SentPart>> {
    let mut ids: HashMap<i64, MessageId> = HashMap::new();
    let mut dates: HashMap<MessageId, i32> = HashMap::new();
    for update in updates {
        match update {
            tl::enums::Update::MessageId(it) => {
                ids.insert(it.random_id, it.id);
            }
            tl::enums::Update::NewMessage(it) => dates.extend(date(&it.message)),
            tl::enums::Update::NewChannelMessage(it) => dates.extend(date(&it.message)),
            _ => {}
        }
    }
    let parts: Vec<SentPart> = names
        .iter()
        .filter_map(|random_id| {
            let id = *ids.get(random_id).filter(|id| **id != 0)?;
            let date = dates
                .get(&id)
                .copied()
                .unwrap_or_else(|| Timestamp::now().as_secs() as i32);
            Some(part(*random_id, id, date))
        })
        .collect();
    Some(parts).filter(|parts| !parts.is_empty())
}

fn date(message: &tl::enums::Message) -> Option<(MessageId, i32)> {
    match message {
        tl::enums::Message::Message(it) => Some((it.id, it.date)),
        tl::enums::Message::Service(it) => Some((it.id, it.date)),
        tl::enums::Message::Empty(_) => None,
    }
}

fn part(random_id: i64, id: MessageId, date: i32) -> SentPart {
    SentPart {
        random_id,
        id,
        date: Timestamp::from_secs(date.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pairs: &[(i64, MessageId)]) -> tl::enums::Updates {
        let updates = pairs
            .iter()
            .map(|(random_id, id)| {
                tl::types::UpdateMessageId {
                    id: *id,
                    random_id: *random_id,
                }
                .into()
            })
            .collect();
        tl::types::Updates {
            updates,
            users: vec![],
            chats: vec![],
            date: 5,
            seq: 0,
        }
        .into()
    }

    #[test]
    fn parts_come_in_the_order_of_their_names() {
        let parts = read(&answer(&[(20, 2), (10, 1)]), &[10, 20]).expect("every part");
        assert_eq!(parts.iter().map(|part| part.id).collect::<Vec<_>>(), vec![1, 2]);
    }

    #[test]
    fn an_answer_tells_of_the_parts_it_names() {
        let some = read(&answer(&[(10, 1)]), &[20, 10]).expect("one part");
        assert_eq!(some.iter().map(|part| part.random_id).collect::<Vec<_>>(), [10]);
        assert_eq!(read(&answer(&[]), &[10]), None);
        assert_eq!(
            read(&answer(&[(10, 0)]), &[10]),
            None,
            "no message has the number 0"
        );
    }
}
