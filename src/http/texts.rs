//! What people read when a request fails: one short text a code, in English and in Persian.
//!
//! The code is the contract; the text is for the person in front of it and may be reworded.

use crate::base::Code;

/// A language in which errors are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Persian.
    Fa,
}

impl Language {
    /// The tag of `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fa => "fa",
        }
    }

    /// The language that an `Accept-Language` header likes best among ours.
    pub fn choose(header: Option<&str>, default: Self) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for range in header.unwrap_or("").split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or("").trim().to_ascii_lowercase();
            let language = match tag.split('-').next().unwrap_or("") {
                "en" => Self::En,
                "fa" => Self::Fa,
                "*" => default,
                _ => continue,
            };
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
                best = Some((weight, language));
            }
        }
        best.map_or(default, |(_, language)| language)
    }
}

/// The texts of the answers that are not errors.
pub mod said {
    use super::Language;

    /// Connections that did not answer were closed.
    pub fn cleaned_up(language: Language) -> &'static str {
        match language {
            Language::En => "Stale connections were closed",
            Language::Fa => "اتصال‌های غیرفعال بسته شدند",
        }
    }

    /// A session was logged out and deleted.
    pub fn disconnected(language: Language) -> &'static str {
        match language {
            Language::En => "Disconnected",
            Language::Fa => "اتصال با موفقیت قطع شد",
        }
    }
}

/// The text of a code in a language.
pub fn text(code: Code, language: Language) -> &'static str {
    let (english, persian) = both(code);
    match language {
        Language::En => english,
        Language::Fa => persian,
    }
}

fn both(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::Unauthorized => ("A valid API key is needed", "کلید API معتبر لازم است"),
        Code::Forbidden => (
            "This key does not have the scope for that",
            "این کلید اجازهٔ این کار را ندارد",
        ),
        Code::NotFound => ("Not found", "پیدا نشد"),
        Code::MethodNotAllowed => (
            "This method is not known here",
            "این متد در این نشانی پشتیبانی نمی‌شود",
        ),
        Code::InvalidRequest => ("The request is not valid", "درخواست نامعتبر است"),
        Code::BodyTooLarge => (
            "The body is larger than allowed",
            "حجم درخواست بیش از حد مجاز است",
        ),
        Code::UnsupportedMediaType => (
            "The body must be application/json",
            "بدنهٔ درخواست باید application/json باشد",
        ),
        Code::RequestTimeout => ("The request came too slowly", "درخواست به‌موقع کامل نشد"),
        Code::Conflict => (
            "The present state does not allow that",
            "وضعیت فعلی اجازهٔ این کار را نمی‌دهد",
        ),
        Code::IdempotencyMismatch => (
            "This idempotency key was used with another request",
            "این کلید یکتایی با درخواست دیگری استفاده شده است",
        ),
        Code::IdempotencyInProgress => (
            "The first request with this idempotency key is still running",
            "درخواست نخست با همین کلید یکتایی هنوز در حال انجام است",
        ),
        Code::LoginStep => (
            "The login process waits for something else",
            "فرایند ورود در مرحلهٔ دیگری است",
        ),
        Code::LoginExpired => (
            "The login was not finished in time; begin again",
            "مهلت ورود به پایان رسید؛ دوباره شروع کنید",
        ),
        Code::LoginCancelled => (
            "The login was cancelled; begin again",
            "ورود لغو شد؛ دوباره شروع کنید",
        ),
        Code::AnotherAccount => (
            "This session is another account's: log in with that one, or delete the session and add a new one",
            "این نشست متعلق به حساب دیگری است؛ با همان حساب وارد شوید، یا نشست را حذف و نشست تازه‌ای بسازید",
        ),
        Code::SessionExists => (
            "This agent has a live session already",
            "این کاربر از قبل یک نشست فعال دارد",
        ),
        Code::AuthKeyInUse => (
            "A session here uses this key already",
            "نشست دیگری از همین کلید استفاده می‌کند",
        ),
        Code::ImportInvalid => (
            "This is no session that can be imported",
            "این متن نشست قابل واردکردن نیست",
        ),
        Code::ImportRefused => (
            "Telegram does not accept the imported key",
            "تلگرام کلید واردشده را نمی‌پذیرد",
        ),
        Code::PairLoop => ("This pair would close a loop", "این جفت یک حلقهٔ ارسال می‌سازد"),
        Code::SessionExpired => (
            "The session's authorisation has ended; log in again",
            "اعتبار نشست پایان یافته است؛ دوباره وارد شوید",
        ),
        Code::SessionUnavailable => (
            "The session is not connected at the moment",
            "نشست در حال حاضر متصل نیست",
        ),
        Code::NotCopyable => (
            "A message of this kind cannot be copied",
            "این نوع پیام را نمی‌توان کپی کرد",
        ),
        Code::PhoneCodeInvalid => ("The code is invalid", "کد نامعتبر است"),
        Code::PhoneCodeExpired => ("The code has expired", "کد منقضی شده است"),
        Code::PhoneNumberInvalid => ("The phone number is invalid", "شمارهٔ تلفن نامعتبر است"),
        Code::PhoneNumberUnoccupied => (
            "No account has this phone number",
            "هیچ حسابی با این شماره وجود ندارد",
        ),
        Code::PhoneNumberBanned => (
            "Telegram has banned this phone number",
            "این شماره در تلگرام مسدود شده است",
        ),
        Code::EmailSetupRequired => (
            "Telegram wants an e-mail address to be set up first: log in with the Telegram app, or by QR",
            "تلگرام ابتدا ثبت نشانی ایمیل را می‌خواهد؛ با برنامهٔ تلگرام یا با کد QR وارد شوید",
        ),
        Code::CodeWayUnsupported => (
            "Telegram sends this number no code that can be used here: log in by QR",
            "تلگرام برای این شماره کدی نمی‌فرستد که اینجا پذیرفته شود؛ با کد QR وارد شوید",
        ),
        Code::LoginPaymentRequired => (
            "Telegram wants to be paid for a code to this number: log in by QR",
            "تلگرام برای فرستادن کد به این شماره هزینه می‌خواهد؛ با کد QR وارد شوید",
        ),
        Code::PasswordRequired => (
            "The account is protected by a password",
            "این حساب با رمز عبور محافظت شده است",
        ),
        Code::PasswordHashInvalid => (
            "The password is wrong; one that is forgotten is reset in the Telegram app",
            "رمز عبور نادرست است؛ رمز فراموش‌شده در برنامهٔ تلگرام بازنشانی می‌شود",
        ),
        Code::PeerInvalid => (
            "The session does not know this chat",
            "این گفتگو برای نشست شناخته‌شده نیست",
        ),
        Code::ChatWriteForbidden => (
            "The account may not write in this chat",
            "این حساب اجازهٔ نوشتن در این گفتگو را ندارد",
        ),
        Code::KindForbidden => (
            "The chat does not allow messages of this kind",
            "این گفتگو این نوع پیام را نمی‌پذیرد",
        ),
        Code::MediaNotReachable => (
            "The destination's account cannot reach this file: it does not see the chat that the file is in",
            "حساب مقصد به این فایل دسترسی ندارد، چون گفتگوی آن را نمی‌بیند",
        ),
        Code::AccountFrozen => (
            "Telegram has frozen this account: it may read and not send",
            "تلگرام این حساب را مسدود کرده است؛ فقط خواندن ممکن است",
        ),
        Code::ForwardsRestricted => (
            "The chat forbids forwarding its messages",
            "بازارسال پیام‌های این گفتگو ممنوع است",
        ),
        Code::MessageInvalid => ("There is no such message", "چنین پیامی وجود ندارد"),
        Code::MessageEmpty => ("The message is empty", "متن پیام خالی است"),
        Code::MessageTooLong => (
            "The message is longer than Telegram allows",
            "متن پیام بیش از حد مجاز تلگرام است",
        ),
        Code::PeerFlood => (
            "Telegram has restricted this account from sending",
            "تلگرام ارسال از این حساب را محدود کرده است",
        ),
        Code::FloodWait => (
            "Telegram asks to wait before the next call",
            "تلگرام درخواست کرده است پیش از تلاش بعدی صبر کنید",
        ),
        Code::SlowMode => ("The chat is in slow mode", "این گفتگو در حالت آهسته است"),
        Code::RateLimited => (
            "The limit of calls is used up for now",
            "سقف تعداد درخواست‌ها فعلاً پر شده است",
        ),
        Code::TooBusy => ("Too many requests at once", "تعداد درخواست‌های هم‌زمان زیاد است"),
        Code::TelegramError => ("Telegram refused the call", "تلگرام درخواست را نپذیرفت"),
        Code::AddressForbidden => ("This address may not be called", "تماس با این نشانی مجاز نیست"),
        Code::EventsGone => (
            "Events that were asked for are not kept any more",
            "رویدادهای درخواست‌شده دیگر نگهداری نمی‌شوند",
        ),
        Code::TooSlow => (
            "This listener is too slow; come back with the last cursor",
            "این شنونده بیش از حد کند است؛ با آخرین cursor بازگردید",
        ),
        Code::ReceiverRefused => ("The receiver answered with an error", "گیرنده با خطا پاسخ داد"),
        Code::ReceiverUnreachable => ("The receiver could not be reached", "گیرنده در دسترس نبود"),
        Code::ReceiverUnresolved => (
            "The name of the receiver's host does not resolve",
            "نام میزبان گیرنده یافت نشد",
        ),
        Code::ReceiverAbsent => ("The receiver refused the connection", "گیرنده اتصال را نپذیرفت"),
        Code::ReceiverCertificate => (
            "The receiver's certificate is not trusted",
            "گواهی گیرنده معتبر نیست",
        ),
        Code::ReceiverTls => (
            "No TLS connection to the receiver could be made",
            "اتصال TLS با گیرنده برقرار نشد",
        ),
        Code::ReceiverGarbled => (
            "The receiver's answer was not understood",
            "پاسخ گیرنده قابل فهم نبود",
        ),
        Code::Unavailable => (
            "Not available at the moment; try again",
            "فعلاً در دسترس نیست؛ دوباره تلاش کنید",
        ),
        Code::StoreUnavailable => (
            "The store is not available at the moment; try again",
            "ذخیره‌سازی فعلاً در دسترس نیست؛ دوباره تلاش کنید",
        ),
        Code::Internal => ("An internal error", "خطای داخلی"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_chooses_by_weight_and_order() {
        let choose = |header| Language::choose(Some(header), Language::En);
        assert_eq!(choose("fa-IR,fa;q=0.9,en;q=0.8"), Language::Fa);
        assert_eq!(choose("en;q=0.3, fa;q=0.7"), Language::Fa);
        assert_eq!(choose("de, *"), Language::En);
        assert_eq!(choose("fa;q=0, en"), Language::En);
        assert_eq!(Language::choose(None, Language::Fa), Language::Fa);
    }

    #[test]
    fn every_code_has_both_texts() {
        for code in Code::ALL {
            let (english, persian) = both(*code);
            assert!(english.is_ascii() && !english.is_empty(), "{code:?}");
            assert!(!persian.is_ascii(), "{code:?}");
        }
        assert_eq!(text(Code::PhoneCodeInvalid, Language::Fa), "کد نامعتبر است");
    }
}
