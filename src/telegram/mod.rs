//! Telegram: sessions, login, updates in, effects out. The only floor that knows grammers.
