//! Asking somebody at a terminal, and showing a QR there.
//!
//! Everything goes to standard error, so that standard output stays for the answer. Where the input is no terminal, an
//! answer is its next line.

use std::io::{BufRead, IsTerminal, Write};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::Value;

use crate::cli::client::CliError;

/// Something that only the person at the terminal knows.
#[derive(Clone)]
pub(super) struct Question {
    /// The field of the body that takes it.
    pub field: &'static str,
    /// The code of a wrong answer.
    pub wrong: &'static str,
    text: String,
    /// Whether nobody shall read it over a shoulder.
    secret: bool,
}

impl Question {
    /// The code that Telegram sent; `sent` says how.
    pub fn code(sent: &Value) -> Self {
        let told = |field: &str| sent.get(field).and_then(Value::as_str);
        let how = match (told("code_type"), sent["code_length"].as_i64()) {
            (Some("missed_call"), length) => format!(
                " (the last {}digits of the number {}… that calls)",
                length.map_or(String::new(), |length| format!("{length} ")),
                told("code_prefix").unwrap_or_default()
            ),
            (Some("flash_call"), _) => format!(
                " (the number {} that calls)",
                told("code_pattern").unwrap_or_default()
            ),
            (Some("fragment"), _) => format!(" (see {})", told("url").unwrap_or_default()),
            (Some("email"), _) => format!(" (mailed to {})", told("email_pattern").unwrap_or_default()),
            (Some(kind @ ("word" | "phrase")), _) => match told("beginning") {
                Some(beginning) => format!(" (the {kind} that begins with {beginning})"),
                None => format!(" (a {kind})"),
            },
            _ => String::new(),
        };
        Self {
            field: "code",
            wrong: "PHONE_CODE_INVALID",
            text: format!("Code from Telegram{how}: "),
            secret: false,
        }
    }

    /// The account's password; `step` may hold its owner's hint.
    pub fn password(step: &Value) -> Self {
        let text = match step.get("hint").and_then(Value::as_str) {
            Some(hint) => format!("Password (hint: {hint}): "),
            None => "Password: ".to_owned(),
        };
        Self {
            field: "password",
            wrong: "PASSWORD_HASH_INVALID",
            text,
            secret: true,
        }
    }

    /// Asks; a code without the blanks around it, a password as it is typed.
    ///
    /// A thread of its own waits for the answer, so that Ctrl-C is heard meanwhile; if nobody waits for it any more, it
    /// ends with the process.
    pub async fn ask(&self) -> Result<String, CliError> {
        let _as_it_was = Modes::now();
        let (question, (tell, told)) = (self.clone(), tokio::sync::oneshot::channel());
        std::thread::spawn(move || tell.send(question.answer()));
        let gone = |_| CliError::Here("the terminal cannot be read".to_owned());
        told.await.map_err(gone)?
    }

    fn answer(&self) -> Result<String, CliError> {
        let typed = match self.secret && std::io::stdin().is_terminal() {
            true => {
                write(&self.text)?;
                rpassword::read_password().map_err(failed)?
            }
            false => self.line()?,
        };
        Ok(match self.secret {
            true => typed,
            false => typed.trim().to_owned(),
        })
    }

    fn line(&self) -> Result<String, CliError> {
        write(&self.text)?;
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
        if read == 0 {
            return Err(CliError::Here(format!("no {} was given", self.field)));
        }
        Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// The terminal's modes, which come back when this is dropped: whoever is interrupted at a password shall see again
/// what they type.
struct Modes(Option<Termios>);

impl Modes {
    fn now() -> Self {
        Self(tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // A terminal that is gone needs none.
            let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        }
    }
}

/// Where a QR is shown, one after the other in the same place.
#[derive(Default)]
pub(super) struct Screen {
    shown: Option<String>,
    lines: usize,
}

impl Screen {
    /// Shows the QR of a link, unless it is there already.
    pub fn show(&mut self, link: &str) -> Result<(), CliError> {
        if self.shown.as_deref() == Some(link) {
            return Ok(());
        }
        self.shown = Some(link.to_owned());
        if !std::io::stderr().is_terminal() {
            return write(&format!("{link}\n"));
        }
        let picture = picture(link)?;
        // Back to where the last one began.
        let back = match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        self.lines = picture.lines().count() + 1;
        write(&format!(
            "{back}{picture}\nScan it in Telegram: Settings, Devices, Link Desktop Device.\n"
        ))
    }
}

/// The code in half blocks, light on dark, as most terminals are.
fn picture(link: &str) -> Result<String, CliError> {
    let code = QrCode::new(link).map_err(|error| CliError::Here(format!("no QR: {error}")))?;
    let mut picture = code.render::<Dense1x2>();
    Ok(picture
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

fn write(text: &str) -> Result<(), CliError> {
    let mut terminal = std::io::stderr().lock();
    let written = terminal.write_all(text.as_bytes());
    written.and_then(|()| terminal.flush()).map_err(failed)
}

fn failed(cause: std::io::Error) -> CliError {
    CliError::Io {
        what: "the terminal".to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_asked_for_as_it_was_sent() {
        let asked = |sent: Value| Question::code(&sent).text;
        assert_eq!(
            asked(serde_json::json!({"code_type": "sms", "code_length": 5})),
            "Code from Telegram: "
        );
        let missed = serde_json::json!({"code_type": "missed_call", "code_prefix": "+44", "code_length": 4});
        assert_eq!(
            asked(missed),
            "Code from Telegram (the last 4 digits of the number +44… that calls): "
        );
        let phrase = serde_json::json!({"code_type": "phrase", "beginning": "amber"});
        assert_eq!(
            asked(phrase),
            "Code from Telegram (the phrase that begins with amber): "
        );
    }

    #[test]
    fn the_picture_has_every_module_and_a_quiet_zone() {
        let link = "tg://login?token=AQLjLp1pCVYUV1Hs0SWzIhBMbjSqqR4GVvtTAm5G8eQ";
        let width = QrCode::new(link).expect("a code").width() + 2 * 4;
        let picture = picture(link).expect("a picture");
        assert_eq!(picture.lines().count(), width.div_ceil(2));
        assert!(picture.lines().all(|line| line.chars().count() == width));
        assert_eq!(picture.chars().next(), Some('\u{2588}'), "light around it");
    }
}
