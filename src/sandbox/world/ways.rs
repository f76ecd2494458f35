//! How a login code reaches its owner: the ways, what each one tells the client, and which way a number's codes go.
//!
//! Pure but for the world's own derived numbers. When a code may be sent again is said in `codes`.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Words that a code may be made of.
const WORDS: [&str; 8] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron",
];

/// How a code reaches its owner, or why none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As a message in the account's other sessions.
    App,
    /// As a text message.
    #[default]
    Sms,
    /// Spoken in a call.
    Call,
    /// A call that rings only: the number that calls is the code.
    FlashCall,
    /// A call that rings only: the last digits of the number that calls are the code.
    MissedCall,
    /// On the page of a number that was bought.
    Fragment,
    /// As a text message, after the client has proved which application it is.
    Firebase,
    /// A word in a text message.
    Word,
    /// A few words in a text message.
    Phrase,
    /// By e-mail to the account's login address.
    Email,
    /// None before an address was set up.
    EmailSetup,
    /// None before it is paid for.
    Payment,
}

impl Way {
    /// How it is sent when it is asked for again, where nothing else was said.
    fn usual_next(self) -> Option<Self> {
        match self {
            Self::App => Some(Self::Sms),
            Self::Sms => Some(Self::Call),
            _ => None,
        }
    }

    /// Whether Telegram has a word for it as the next way (`auth.CodeType`).
    pub fn may_come_next(self) -> bool {
        matches!(
            self,
            Self::Sms
                | Self::Call
                | Self::FlashCall
                | Self::MissedCall
                | Self::Fragment
                | Self::Word
                | Self::Phrase
        )
    }

    /// Whether there is a code at all.
    pub fn has_code(self) -> bool {
        !matches!(self, Self::EmailSetup | Self::Payment)
    }

    /// Whether the next way has to wait for this one: a message in other sessions is there at once, and what is
    /// attested is given up by the client.
    pub fn takes_time(self) -> bool {
        !matches!(self, Self::App | Self::Firebase)
    }

    /// The code that is sent this way, made of a number by chance.
    pub fn code(self, number: u64) -> String {
        let word = |shift: u32| WORDS[(number >> shift) as usize % WORDS.len()];
        match self {
            Self::FlashCall => format!("4479{:08}", number % 100_000_000),
            Self::Email => format!("{:06}", number % 1_000_000),
            Self::Word => word(0).to_owned(),
            Self::Phrase => format!("{} {} {}", word(0), word(3), word(6)),
            _ => format!("{:05}", number % 100_000),
        }
    }
}

/// How a number's codes are sent, and what else is otherwise about its logins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// One way after the other; empty means the usual ones.
    pub ways: Vec<Way>,
    /// What is shown of the login address; made up if it is not given.
    pub email_pattern: Option<String>,
    /// Logging in and out answers a token by which the next login needs no code.
    pub future_tokens: bool,
}

impl Plan {
    /// The way of the first code; `logged_in` says whether the account has another session.
    pub fn first(&self, logged_in: bool) -> Way {
        let usual = if logged_in { Way::App } else { Way::Sms };
        self.ways.first().copied().unwrap_or(usual)
    }

    /// The way of a code that is asked for again.
    pub fn next(&self, way: Way) -> Option<Way> {
        if self.ways.is_empty() {
            return way.usual_next();
        }
        let mut rest = self.ways.iter().skip_while(|known| **known != way).skip(1);
        rest.next().copied()
    }

    /// What is shown of the login address.
    pub fn pattern(&self) -> String {
        self.email_pattern
            .clone()
            .unwrap_or_else(|| "a***e@example.org".to_owned())
    }

    /// Whether it can be carried out: no way twice.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), Refusal> {
        let twice = (1..self.ways.len()).any(|at| self.ways[..at].contains(&self.ways[at]));
        match twice {
            true => Err(Refusal::bad("WAY_TWICE")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_the_planned_ways_in_turn_and_no_further() {
        let plan = Plan {
            ways: vec![Way::Firebase, Way::MissedCall],
            ..Plan::default()
        };
        assert_eq!(plan.first(true), Way::Firebase);
        assert_eq!(plan.next(Way::Firebase), Some(Way::MissedCall));
        assert_eq!(plan.next(Way::MissedCall), None);
        let usual = Plan::default();
        assert_eq!((usual.first(true), usual.first(false)), (Way::App, Way::Sms));
        assert_eq!(usual.next(Way::App), Some(Way::Sms));
        let twice = Plan {
            ways: vec![Way::Sms, Way::Sms],
            ..Plan::default()
        };
        assert!(twice.check().is_err());
    }

    #[test]
    fn a_phrase_has_spaces_and_a_code_by_mail_six_digits() {
        assert_eq!(Way::Phrase.code(8).split(' ').count(), 3);
        assert_eq!(Way::Email.code(7), "000007");
    }
}
