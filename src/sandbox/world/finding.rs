//! What the server finds in a text by itself: links and addresses, names, hashtags and cashtags, commands, phone numbers
//! and cards. Pure. Offsets and lengths are in UTF-16 units.

use super::entities::{Entity, Kind, units};

/// What opens or closes a text around a link and is no part of it.
const CLOSING: [char; 12] = ['.', ',', '!', '?', ';', ':', ')', ']', '}', '"', '\'', '»'];

/// The ends of names without a scheme that are taken for links; beside them, those of countries.
const ENDS: [&str; 36] = [
    "com", "net", "org", "info", "biz", "edu", "gov", "mil", "int", "name", "pro", "mobi", "tel", "xyz",
    "app", "dev", "online", "site", "shop", "store", "club", "link", "live", "news", "blog", "page", "wiki",
    "cloud", "space", "tech", "world", "today", "email", "agency", "design", "games",
];

/// The ends that stand for countries.
const COUNTRIES: &str = "ac ad ae af ag ai al am ao ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by \
bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg es et eu fi fj fm fo fr ga gd ge gf \
gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp \
kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf \
ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn \
so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye \
yt za zm zw";

/// The spans that a text shows by itself. `wide` finds all that Telegram does; else bare names of hosts, phone numbers
/// and cards are left.
pub fn found(text: &str, wide: bool) -> Vec<Entity> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut before = None;
    while let Some(next) = text[at..].chars().next() {
        let hit = begins(before, &text[at..])
            .filter(|(kind, length)| wide || *kind != Kind::Url || text[at..at + length].contains("://"));
        let Some((kind, length)) = hit else {
            at += next.len_utf8();
            before = Some(next);
            continue;
        };
        found.push(Entity::plain(
            kind,
            units(&text[..at]),
            units(&text[at..at + length]),
        ));
        at += length;
        before = text[..at].chars().next_back();
    }
    if wide {
        for (kind, from, to) in numbers(text) {
            let number = Entity::plain(kind, units(&text[..from]), units(&text[from..to]));
            let taken = |other: &Entity| other.offset < number.end() && number.offset < other.end();
            if !found.iter().any(taken) {
                found.push(number);
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes of a text stand before the first character that does not fit.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !fits(c)).unwrap_or(text.len())
}

/// A name of somebody after an at sign: its length, if it is one.
fn name(text: &str, least: usize) -> Option<usize> {
    let length = run(text, is_word);
    let ascii = text[..length].is_ascii();
    (ascii && (least..=32).contains(&length)).then_some(length)
}

/// What begins here: its kind and its length in bytes. `before` is the character in front of it.
fn begins(before: Option<char>, text: &str) -> Option<(Kind, usize)> {
    if before.is_some_and(is_word) {
        return None;
    }
    let first = text.chars().next()?;
    let rest = &text[first.len_utf8()..];
    // Somebody's name may stand behind a tag or a command.
    let whose = |text: &str| {
        let length = text.strip_prefix('@').and_then(|text| name(text, 3));
        length.map_or(0, |length| length + 1)
    };
    match first {
        '@' => name(rest, 4).map(|length| (Kind::Mention, length + 1)),
        '#' => {
            let length = run(rest, is_word);
            let digits = rest[..length].chars().all(|c| c.is_ascii_digit());
            let fits = !digits && rest[..length].chars().count() <= 256;
            fits.then(|| (Kind::Hashtag, 1 + length + whose(&rest[length..])))
        }
        '$' if before != Some('$') => {
            let length = run(rest, is_word);
            let letters = rest[..length].bytes().all(|c| c.is_ascii_uppercase());
            let tag = (letters && (1..=8).contains(&length)) || &rest[..length] == "1INCH";
            let ends = !rest[length..].starts_with('$');
            (tag && ends).then(|| (Kind::Cashtag, 1 + length + whose(&rest[length..])))
        }
        '/' if !matches!(before, Some('/' | '<' | '>')) => {
            let length = run(rest, is_word);
            let fits = rest[..length].is_ascii() && (1..=64).contains(&length);
            let whole = length + whose(&rest[length..]);
            let ends = !rest[whole..].starts_with(['/', '<', '>']);
            (fits && ends).then_some((Kind::BotCommand, whole + 1))
        }
        _ if is_word(first)
            && !matches!(before, Some('@' | '.' | '-' | '/' | '#' | '$' | ':' | '&' | '=')) =>
        {
            let word = &text[..run(text, |c| !c.is_whitespace())];
            with_scheme(word).or_else(|| address(word)).or_else(|| bare(word))
        }
        _ => None,
    }
}

fn with_scheme(word: &str) -> Option<(Kind, usize)> {
    let scheme = ["https://", "http://", "ftp://", "tg://"];
    let scheme = scheme.into_iter().find(|scheme| word.starts_with(scheme))?;
    let length = word.trim_end_matches(CLOSING).len();
    (length > scheme.len()).then_some((Kind::Url, length))
}

fn address(word: &str) -> Option<(Kind, usize)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let user = run(word, plain);
    let host = word[user..].strip_prefix('@')?;
    let length = run(host, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let host = host[..length].trim_end_matches(['.', '-']);
    let (front, end) = host.rsplit_once('.')?;
    let fits = !front.is_empty() && end.len() >= 2 && end.bytes().all(|c| c.is_ascii_alphabetic());
    fits.then_some((Kind::Email, user + 1 + host.len()))
}

/// A host without a scheme, with what follows it.
fn bare(word: &str) -> Option<(Kind, usize)> {
    let host = run(word, |c| is_word(c) || matches!(c, '.' | '-'));
    let name = word[..host].trim_end_matches(['.', '-']);
    let (front, end) = name.rsplit_once('.')?;
    let written = end;
    let end = written.to_lowercase();
    // A sentence that begins without a space before it.
    if written != end && written.chars().skip(1).eq(end.chars().skip(1)) {
        return None;
    }
    let known = ENDS.contains(&end.as_str()) || COUNTRIES.split(' ').any(|country| country == end);
    let parts = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-');
    if !known || !front.split('.').all(parts) || word[name.len()..].starts_with('@') {
        return None;
    }
    let rest = &word[name.len()..];
    let port = match rest.strip_prefix(':') {
        Some(digits) => match run(digits, |c| c.is_ascii_digit()) {
            0 => 0,
            length => length + 1,
        },
        None => 0,
    };
    let path = match rest[port..].starts_with(['/', '?', '#']) {
        true => rest[port..].trim_end_matches(CLOSING).len(),
        false => 0,
    };
    Some((Kind::Url, name.len() + port + path))
}

/// Phone numbers and cards: their kind, and where they begin and end in bytes.
fn numbers(text: &str) -> Vec<(Kind, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = text[at..].find(|c: char| c == '+' || c.is_ascii_digit()) {
        let from = at + begin;
        let plus = text[from..].starts_with('+');
        let digits = from + usize::from(plus);
        let between = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')');
        let length = run(&text[digits..], |c| match plus {
            true => between(c) || c == '.',
            false => c.is_ascii_digit() || matches!(c, ' ' | '-'),
        });
        let part = text[digits..digits + length].trim_end_matches(|c: char| !c.is_ascii_digit());
        let to = digits + part.len();
        at = (digits + length).max(from + 1);
        let before = text[..from].chars().next_back();
        let after = text[to..].chars().next();
        let stuck = before.is_some_and(|c| is_word(c) || matches!(c, '+' | '.' | ',' | '-' | '/'))
            || after.is_some_and(|c| is_word(c) || c == '-');
        let figures: Vec<u32> = part.chars().filter_map(|c| c.to_digit(10)).collect();
        let begins = part.starts_with(|c: char| c.is_ascii_digit());
        let kind = match plus {
            true if begins && (8..=15).contains(&figures.len()) => Kind::PhoneNumber,
            false if is_card(&figures) => Kind::BankCard,
            _ => continue,
        };
        if !stuck {
            found.push((kind, from, to));
        }
    }
    found
}

/// Whether figures are a card's: as many as one has, of a known kind, with the right sum.
fn is_card(figures: &[u32]) -> bool {
    let known = figures.first().is_some_and(|first| (2..=6).contains(first));
    let sum: u32 = (figures.iter().rev().enumerate())
        .map(|(at, figure)| match (at % 2 == 1, figure * 2) {
            (true, twice) if twice > 9 => twice - 9,
            (true, twice) => twice,
            (false, _) => *figure,
        })
        .sum();
    known && (13..=19).contains(&figures.len()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Kind, String)> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let part = |span: &Entity| {
            let from = usize::try_from(span.offset).expect("in the text");
            let to = usize::try_from(span.end()).expect("in the text");
            (span.kind, String::from_utf16_lossy(&units[from..to]))
        };
        found(text, true).iter().map(part).collect()
    }

    #[track_caller]
    fn finds(text: &str, kind: Kind, wanted: &str) {
        assert_eq!(read(text), [(kind, wanted.to_owned())], "{text}");
    }

    #[test]
    fn hosts_are_links_without_a_scheme_too() {
        finds("see example.com, please", Kind::Url, "example.com");
        finds(
            "(sub.example.co.uk:8080/a?b=1)",
            Kind::Url,
            "sub.example.co.uk:8080/a?b=1",
        );
        finds("😀 Example.ORG/path.", Kind::Url, "Example.ORG/path");
        finds(
            "see https://example.invalid/x!",
            Kind::Url,
            "https://example.invalid/x",
        );
        finds("tg://resolve?domain=x", Kind::Url, "tg://resolve?domain=x");
        for text in [
            "notes.txt",
            "1.5",
            "10.0.0.1",
            "e.g.",
            "-.com",
            "a..com",
            "host.invalid",
            "word.Next",
            "Fine.It",
            "example.Com",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
        let narrow = found("example.com https://example.com +49 151 2345 6789", false);
        assert_eq!(narrow, [Entity::plain(Kind::Url, 12, 19)]);
    }

    #[test]
    fn addresses_names_tags_and_commands_are_found() {
        finds("to me.too@example.org.", Kind::Email, "me.too@example.org");
        finds("hi,@alice_b!", Kind::Mention, "@alice_b");
        finds("(#news)", Kind::Hashtag, "#news");
        finds("#news@channel_a", Kind::Hashtag, "#news@channel_a");
        finds("$USD.", Kind::Cashtag, "$USD");
        finds("$1INCH", Kind::Cashtag, "$1INCH");
        finds("/start@my_bot now", Kind::BotCommand, "/start@my_bot");
        finds("(/start), please", Kind::BotCommand, "/start");
        for text in ["and/or", "/a/b", "//x", "#1", "$usd", "$$USD", "me@host", "@abc"] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn phones_and_cards_are_found_by_their_figures() {
        finds(
            "call +49 (151) 234-56789.",
            Kind::PhoneNumber,
            "+49 (151) 234-56789",
        );
        finds(
            "pay to 4242 4242 4242 4242, please",
            Kind::BankCard,
            "4242 4242 4242 4242",
        );
        finds("4242424242424242", Kind::BankCard, "4242424242424242");
        for text in [
            "4242424242424243",
            "+1 234",
            "1234567890123456",
            "x4242424242424242",
            "1 + 2345678901",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }
}
