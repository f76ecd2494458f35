//! What systemd is told over its notify socket: ready, alive, more time, stopping.
//!
//! A word that cannot be delivered is lost, and the daemon goes on: it never waits for whoever reads the socket. That
//! nobody reads is logged once. An address that begins with `@` is an abstract one, without a file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It serves.
    Ready,
    /// It is alive.
    Watchdog,
    /// It is not done with starting or stopping, and shows life again within this time.
    Extend(Duration),
    /// It stops.
    Stopping,
}

impl Word {
    fn text(self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Watchdog => "WATCHDOG=1".to_owned(),
            Self::Extend(time) => format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()),
            Self::Stopping => "STOPPING=1".to_owned(),
        }
    }
}

/// The way to systemd; none if it did not start this process.
pub(super) struct Systemd {
    line: Option<(UnixDatagram, SocketAddr)>,
    /// How long it waits for a sign of life; none if it does not.
    watchdog: Option<Duration>,
    /// Whether a word was lost, which is logged once.
    lost: AtomicBool,
}

impl Systemd {
    /// As the environment says.
    pub fn of_environment() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let named = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let line = named.and_then(|name| match line_to(&name) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: systemd is told nothing");
                None
            }
        });
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && ours);
        Self {
            watchdog: watchdog.map(Duration::from_micros).filter(|_| line.is_some()),
            line,
            lost: AtomicBool::new(false),
        }
    }

    /// How long systemd waits for a sign of life; none if it does not.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it a word.
    pub fn tell(&self, word: Word) {
        let Some((socket, address)) = &self.line else {
            return;
        };
        let told = socket.send_to_addr(word.text().as_bytes(), address);
        if let Err(error) = told
            && !self.lost.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, ?word, "systemd was not told, now or at other times");
        }
    }
}

fn line_to(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a path nor an abstract name",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn systemd(variables: &[(&str, &OsStr)]) -> Systemd {
        Systemd::of(|name| {
            let set = variables.iter().find(|(known, _)| *known == name);
            set.map(|(_, value)| (*value).to_owned())
        })
    }

    fn hears(socket: &UnixDatagram) -> String {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    }

    #[test]
    fn words_arrive_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        let name = format!("trunkline-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("bound");
        let name = OsString::from(format!("@{name}"));
        for (socket, at) in [(&by_path, path.as_os_str()), (&by_name, &name)] {
            let systemd = systemd(&[("NOTIFY_SOCKET", at)]);
            systemd.tell(Word::Ready);
            systemd.tell(Word::Extend(Duration::from_secs(5)));
            assert_eq!(hears(socket), "READY=1");
            assert_eq!(hears(socket), "EXTEND_TIMEOUT_USEC=5000000");
        }
    }

    #[test]
    fn nobody_waits_for_a_socket_that_is_not_read_or_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let unread = UnixDatagram::bind(&path).expect("bound");
        let gone = folder.path().join("gone");
        for at in [
            path.as_os_str(),
            gone.as_os_str(),
            OsStr::new("vsock:2:1"),
            OsStr::new(""),
        ] {
            let systemd = systemd(&[("NOTIFY_SOCKET", at)]);
            for _ in 0..2000 {
                systemd.tell(Word::Watchdog);
            }
        }
        drop(unread);
    }

    #[test]
    fn the_watchdog_is_this_processs_alone() {
        let watchdog = |variables: &[(&str, &str)]| {
            let socket = ("NOTIFY_SOCKET", "/run/none");
            let variables = variables.iter().chain([&socket]);
            let variables: Vec<_> = variables
                .map(|(name, value)| (*name, OsStr::new(*value)))
                .collect();
            systemd(&variables).watchdog()
        };
        let own = std::process::id().to_string();
        let minute = Some(Duration::from_secs(60));
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "60000000")]), minute);
        assert_eq!(
            watchdog(&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", &own)]),
            minute
        );
        assert_eq!(
            watchdog(&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "1")]),
            None
        );
        for wrong in ["0", "-1", "x", ""] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", wrong)]), None, "{wrong}");
        }
    }
}
