//! An authorisation in the forms in which programs hand it to one another: the session strings of Telethon and of
//! Pyrogram, and the bare auth key with its data centre. Pure; nothing is asked of a server here.
//!
//! Addresses that stand in a string are not believed: where a data centre is, is known here or not at all.

use std::net::SocketAddrV4;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use zeroize::Zeroizing;

use crate::base::Secret;
use crate::base::digits::{decimal, is_invisible, unhex};

/// How long an auth key is.
pub const KEY: usize = 256;

/// Telethon's first character.
const TELETHON_VERSION: char = '1';

/// Both kinds pad, or do not.
const URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// In which form an authorisation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Telethon's `StringSession`.
    Telethon,
    /// Pyrogram's (and kurigram's) session string.
    Pyrogram,
    /// `dc:key`, the key in hexadecimal digits.
    AuthKey,
}

impl Form {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telethon => "telethon",
            Self::Pyrogram => "pyrogram",
            Self::AuthKey => "auth_key",
        }
    }
}

/// An auth key and where it is valid.
#[derive(Clone, PartialEq)]
pub struct Portable {
    /// The account's home DC.
    pub dc: i32,
    /// The key.
    pub key: Zeroizing<[u8; KEY]>,
    /// Whose it is, if the form says so.
    pub user_id: Option<i64>,
}

impl std::fmt::Debug for Portable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Portable(dc {}, …)", self.dc)
    }
}

/// What a form tells besides the authorisation.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Where the DC is.
    pub address: SocketAddrV4,
    /// The application's id.
    pub api_id: i32,
    /// Whether the account is a bot.
    pub bot: bool,
}

impl Portable {
    /// Reads what another program wrote.
    ///
    /// # Errors
    /// Why it is none; nothing of it is repeated.
    pub fn read(form: Form, text: &str) -> Result<Self, &'static str> {
        let seen = text.chars().filter(|character| !is_invisible(*character));
        let text: Zeroizing<String> = Zeroizing::new(seen.collect());
        let portable = match form {
            Form::Telethon => telethon(&text)?,
            Form::Pyrogram => pyrogram(&text)?,
            Form::AuthKey => bare(&text)?,
        };
        if !(1..=1000).contains(&portable.dc) {
            return Err("it names no data centre");
        }
        if portable.key.iter().all(|byte| *byte == 0) {
            return Err("its key is empty: nobody is logged in with it");
        }
        Ok(portable)
    }

    /// Writes it for another program.
    pub fn write(&self, form: Form, around: &Surroundings) -> Secret {
        let dc = u8::try_from(self.dc).unwrap_or(u8::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY + 16));
        match form {
            Form::Telethon => {
                bytes.push(dc);
                bytes.extend(around.address.ip().octets());
                bytes.extend(around.address.port().to_be_bytes());
                bytes.extend(self.key.iter());
                Secret::new(format!(
                    "{TELETHON_VERSION}{}",
                    general_purpose::URL_SAFE.encode(&bytes)
                ))
            }
            Form::Pyrogram => {
                bytes.push(dc);
                bytes.extend(around.api_id.to_be_bytes());
                bytes.push(0);
                bytes.extend(self.key.iter());
                bytes.extend(self.user_id.unwrap_or_default().to_be_bytes());
                bytes.push(around.bot.into());
                Secret::new(general_purpose::URL_SAFE_NO_PAD.encode(&bytes))
            }
            Form::AuthKey => {
                let digits: String = self.key.iter().map(|byte| format!("{byte:02x}")).collect();
                Secret::new(format!("{}:{digits}", self.dc))
            }
        }
    }
}

/// `1`, then base64 of DC, address (4 or 16 bytes), port and key.
fn telethon(text: &str) -> Result<Portable, &'static str> {
    let rest = text
        .strip_prefix(TELETHON_VERSION)
        .ok_or("a Telethon string begins with 1")?;
    let bytes = unpack(rest)?;
    let address = match bytes.len() {
        263 => 4,
        275 => 16,
        _ => return Err("a Telethon string has another length"),
    };
    Ok(Portable {
        dc: bytes[0].into(),
        key: key(&bytes[1 + address + 2..])?,
        user_id: None,
    })
}

/// Base64 of DC, api id, whether it is of the test servers, key, user and whether that is a bot; older ones have no
/// api id, and the user in 8 or 4 bytes.
fn pyrogram(text: &str) -> Result<Portable, &'static str> {
    let bytes = unpack(text)?;
    let (api_id, user) = match bytes.len() {
        271 => (4, 8),
        267 => (0, 8),
        263 => (0, 4),
        _ => return Err("a Pyrogram string has another length"),
    };
    let test = 1 + api_id;
    if bytes[test] != 0 {
        return Err("it is of Telegram's test servers");
    }
    let at = test + 1;
    let user_bytes = &bytes[at + KEY..at + KEY + user];
    let user_id = user_bytes
        .iter()
        .fold(0u64, |id, byte| id << 8 | u64::from(*byte));
    Ok(Portable {
        dc: bytes[0].into(),
        key: key(&bytes[at..at + KEY])?,
        user_id: i64::try_from(user_id).ok().filter(|id| *id > 0),
    })
}

/// `dc:key`, the key in hexadecimal digits or base64.
fn bare(text: &str) -> Result<Portable, &'static str> {
    let (dc, text) = text
        .split_once(':')
        .ok_or("an auth key is written as dc:key, such as 2:5f3a…")?;
    let bytes = match text.len() {
        512 => unhex(text.as_bytes()).map(Zeroizing::new),
        _ => unpack(text).ok(),
    };
    let bytes = bytes.ok_or("the key is neither hexadecimal nor base64")?;
    Ok(Portable {
        dc: decimal(dc).ok_or("the data centre is no number")?,
        key: key(&bytes)?,
        user_id: None,
    })
}

/// Base64 in either alphabet, padded or not: the programs that write these strings read them all.
fn unpack(text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let one_alphabet = |character| match character {
        '+' => '-',
        '/' => '_',
        other => other,
    };
    let text: Zeroizing<String> = Zeroizing::new(text.chars().map(one_alphabet).collect());
    let bytes = URL.decode(text.as_bytes()).map(Zeroizing::new);
    bytes.map_err(|_| "it is no base64")
}

fn key(bytes: &[u8]) -> Result<Zeroizing<[u8; KEY]>, &'static str> {
    let key: [u8; KEY] = bytes.try_into().map_err(|_| "an auth key has 256 bytes")?;
    Ok(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMS: [Form; 3] = [Form::Telethon, Form::Pyrogram, Form::AuthKey];

    fn around() -> Surroundings {
        Surroundings {
            address: "149.154.167.51:443".parse().expect("an address"),
            api_id: 17,
            bot: false,
        }
    }

    fn some(user_id: Option<i64>) -> Portable {
        let mut key = Zeroizing::new([0; KEY]);
        key.iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (at * 7 + 3) as u8);
        Portable { dc: 2, key, user_id }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for form in FORMS {
            let user = (form == Form::Pyrogram).then_some(5_000_000_000);
            let text = some(user).write(form, &around());
            assert_eq!(Portable::read(form, text.expose()), Ok(some(user)), "{form:?}");
            assert!(!format!("{:?}", some(user)).contains("3, 10"));
        }
        let text = some(None).write(Form::Telethon, &around());
        assert_eq!(text.expose().len(), 353);
        let text = some(Some(7)).write(Form::Pyrogram, &around());
        assert_eq!(text.expose().len(), 362);
    }

    #[test]
    fn older_and_wider_forms_are_read() {
        let key = some(None).key;
        let telethon = [&[2u8][..], &[0; 16], &443u16.to_be_bytes(), &key[..]].concat();
        let text = format!("1{}", general_purpose::URL_SAFE.encode(telethon));
        assert_eq!(Portable::read(Form::Telethon, &text), Ok(some(None)));
        for (user, bytes) in [(9, &9u32.to_be_bytes()[..]), (9, &9u64.to_be_bytes()[..])] {
            let pyrogram = [&[2u8, 0][..], &key[..], bytes, &[0]].concat();
            let text = general_purpose::URL_SAFE_NO_PAD.encode(pyrogram);
            assert_eq!(Portable::read(Form::Pyrogram, &text), Ok(some(Some(user))));
        }
        let based = format!("2:{}", general_purpose::STANDARD.encode(&key[..]));
        assert_eq!(Portable::read(Form::AuthKey, &based), Ok(some(None)));
    }

    #[test]
    fn strings_are_read_in_either_alphabet_padded_or_not_and_as_pasted() {
        for form in FORMS {
            let user = (form == Form::Pyrogram).then_some(7);
            let text = match form {
                Form::AuthKey => format!("2:{}", general_purpose::URL_SAFE.encode(&some(None).key[..])),
                _ => some(user).write(form, &around()).expose().to_owned(),
            };
            assert!(text.contains(['-', '_']), "the sample tells the alphabets apart");
            let other = text.replace('-', "+").replace('_', "/");
            let bare = other.trim_end_matches('=').to_owned();
            let mixed = text.replace('-', "+");
            let pasted = format!("\u{feff} {}\n{}\u{200e}\r\n", &text[..40], &text[40..]);
            for written in [text, other, bare, mixed, pasted] {
                assert_eq!(
                    Portable::read(form, &written),
                    Ok(some(user)),
                    "{form:?} {written:?}"
                );
            }
        }
    }

    #[test]
    fn signs_are_no_digits() {
        let right = some(None).write(Form::AuthKey, &around()).expose().to_owned();
        for wrong in [
            right.replacen("2:", "+2:", 1),
            right.replacen("2:03", "2:+3", 1),
            right.replacen("2:03", "2:-3", 1),
        ] {
            assert_ne!(wrong, right);
            assert!(Portable::read(Form::AuthKey, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_session_is_refused_in_words() {
        let empty = Portable {
            key: Zeroizing::new([0; KEY]),
            ..some(None)
        };
        for form in FORMS {
            let text = empty.write(form, &around());
            assert!(Portable::read(form, text.expose()).is_err());
            for wrong in ["", "1", "2:", "1BVtsOK", "😀", "0:ff"] {
                assert!(Portable::read(form, wrong).is_err(), "{wrong}");
            }
            let another = some(None).write(FORMS[(form as usize + 1) % 3], &around());
            assert!(Portable::read(form, another.expose()).is_err(), "{form:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text: String, form in 0usize..3) {
            let _unused = Portable::read(FORMS[form], &text);
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 255..280), form in 0usize..3) {
            let text = general_purpose::URL_SAFE.encode(&bytes);
            let _unused = Portable::read(FORMS[form], &text);
            let _unused = Portable::read(FORMS[form], &format!("1{text}"));
        }
    }
}
