//! Messages as the sandbox tells them where Telegram has ways of its own: previews of links.

mod previews;
