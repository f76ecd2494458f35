//! A model of the server side of updates: it knows the whole truth, and answers as Telegram's documentation says.

use std::collections::BTreeMap;

use super::position::{
    AccountDifference, ChannelDifference, Item, Key, Packet, Part, Place, Present, Request,
};

/// An update of the model: the number of the event in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub key: Key,
    pub event: u32,
}

/// The number of an update that is no event: it says where a sequence stands.
pub(super) const MARK: u32 = u32::MAX;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub number: u32,
    /// The sequence's position behind it.
    pub pts: i32,
    pub count: i32,
    /// When, in seconds.
    pub date: i32,
    /// A new message: differences tell those first.
    new: bool,
}

/// One sequence as the server keeps it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub pts: i32,
    pub events: Vec<Event>,
    /// Of the events only so many latest can be told.
    kept: usize,
}

/// The server.
pub(super) struct Server {
    pub account: Log,
    pub channels: BTreeMap<i64, Log>,
    pub date: i32,
    pub seq: i32,
    /// Events in one part of a difference.
    pub part: usize,
    /// Whether it names a channel's position when it announces news.
    pub names_pts: bool,
    /// Whether it names the channels that it knows the shortest first.
    pub names_latest_first: bool,
    /// Whether a part has the date of its last event, and not the date from which it was asked.
    pub dates_parts: bool,
}

impl Log {
    pub fn new(pts: i32, kept: usize) -> Self {
        Self {
            pts,
            events: Vec::new(),
            kept,
        }
    }

    pub fn happen(&mut self, count: i32, date: i32, new: bool) -> Event {
        self.pts += count;
        let event = Event {
            number: self.events.len() as u32,
            pts: self.pts,
            count,
            date,
            new,
        };
        self.events.push(event);
        event
    }

    /// What follows a position, at most so much; none if that was forgotten.
    fn since(&self, pts: i32, part: usize) -> Option<&[Event]> {
        let first = self.events.partition_point(|event| event.pts <= pts);
        let rest = &self.events[first..];
        (rest.len() <= self.kept).then(|| &rest[..rest.len().min(part)])
    }
}

/// New messages first, as differences have it.
fn told(key: Key, events: &[Event]) -> Vec<Told> {
    let some = |new| events.iter().filter(move |event| event.new == new);
    some(true)
        .chain(some(false))
        .map(|event| Told {
            key,
            event: event.number,
        })
        .collect()
}

impl Server {
    fn log(&self, key: Key) -> Option<&Log> {
        match key {
            Key::Account => Some(&self.account),
            Key::Channel(channel) => self.channels.get(&channel),
            Key::Secondary => None,
        }
    }

    /// A container of these events, in this order, after marks at the places to which some of them lead.
    pub fn packet(&self, events: &[(Key, Event)], marks: &[(Key, Event)], seq: i32) -> Packet<Told, ()> {
        let item = |key: Key, pts, count, event| Item::Placed(Place { key, pts, count }, Told { key, event });
        let marks = marks.iter().map(|(key, event)| item(*key, event.pts, 0, MARK));
        let events = (events.iter()).map(|(key, event)| item(*key, event.pts, event.count, event.number));
        let items = marks.chain(events);
        Packet {
            date: self.date,
            seq_start: seq,
            seq,
            items: items.collect(),
            peers: (),
        }
    }

    /// Word that a channel has news.
    pub fn announcement(&self, channel: i64) -> Packet<Told, ()> {
        Packet {
            items: vec![self.named(channel)],
            ..self.packet(&[], &[], 0)
        }
    }

    fn named(&self, channel: i64) -> Item<Told> {
        let pts = self.log(Key::Channel(channel)).map(|log| log.pts);
        Item::ChannelTooLong {
            channel,
            pts: pts.filter(|_| self.names_pts),
        }
    }

    pub fn present(&self) -> Present {
        Present {
            pts: self.account.pts,
            qts: 0,
            date: self.date,
            seq: self.seq,
        }
    }

    /// The account's difference.
    pub fn account_difference(&self, pts: i32, date: i32) -> AccountDifference<Told, ()> {
        let Some(events) = self.account.since(pts, self.part) else {
            return AccountDifference::TooLong {
                pts: self.account.pts,
            };
        };
        let end = events.last().map_or(pts, |event| event.pts);
        let last = end == self.account.pts;
        let so_far = match (last, self.dates_parts) {
            (true, _) => self.date,
            (false, true) => events.last().map_or(date, |event| event.date.max(date)),
            (false, false) => date,
        };
        // A part with a date of its own names the channels up to it: they are not asked for again.
        let named = |log: &Log| {
            let latest = log.events.last().map(|event| event.date);
            latest.is_some_and(|at| at >= date && (last || self.dates_parts && at <= so_far))
        };
        let mut news: Vec<Item<Told>> = (self.channels.iter())
            .filter(|(_, log)| named(log))
            .map(|(channel, _)| self.named(*channel))
            .collect();
        if self.names_latest_first {
            news.reverse();
        }
        if events.is_empty() && news.is_empty() {
            return AccountDifference::Empty {
                date: self.date,
                seq: self.seq,
            };
        }
        AccountDifference::Part(Part {
            updates: told(Key::Account, events),
            others: news,
            peers: (),
            pts: end,
            qts: 0,
            date: so_far,
            seq: self.seq,
            last,
        })
    }

    /// A channel's difference.
    pub fn channel_difference(&self, channel: i64, pts: i32) -> Option<ChannelDifference<Told, ()>> {
        let log = self.channels.get(&channel)?;
        let events = log.since(pts, self.part);
        let end = match events {
            Some(events) => events.last().map_or(pts, |event| event.pts),
            None => log.pts,
        };
        Some(ChannelDifference {
            pts: Some(end),
            updates: told(Key::Channel(channel), events.unwrap_or_default()),
            peers: (),
            last: end == log.pts,
            too_long: events.is_none(),
            timeout: None,
        })
    }

    /// Whether what is asked can be answered at all.
    pub fn knows(&self, request: &Request) -> bool {
        match request {
            Request::Account { pts, .. } => *pts > 0 && *pts <= self.account.pts,
            Request::Channel { channel, pts } => {
                (self.channels.get(channel)).is_some_and(|log| *pts > 0 && *pts <= log.pts)
            }
            Request::Present | Request::ChannelPresent { .. } => true,
        }
    }
}
