//! Who may come in: how many connections there are, of all callers and of one.
//!
//! It counts and says yes or no; it neither accepts nor closes. One caller is one IPv4 address, or one /64 of IPv6:
//! whoever has an IPv6 address has all of its /64. Behind a proxy all callers have the proxy's address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits, and who is inside.
pub(super) struct Door {
    listener: &'static str,
    most: usize,
    most_of_one: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    /// How many connections each caller has; nobody is kept who has none.
    callers: HashMap<IpAddr, usize>,
}

/// Why a connection may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many.
    All,
    /// There are too many of this caller.
    Caller,
}

impl Full {
    /// The word that the metrics count it under.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Caller => "caller",
        }
    }
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    door: Arc<Door>,
    caller: IpAddr,
}

impl Door {
    /// A door that lets in so many, and so many of one caller; at least one of each.
    pub fn new(listener: &'static str, most: usize, most_of_one: usize) -> Arc<Self> {
        let door = Self {
            listener,
            most: most.max(1),
            most_of_one: most_of_one.max(1),
            inside: Mutex::default(),
        };
        door.show(0);
        Arc::new(door)
    }

    /// A place for a connection from this address, if there is one.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Place, Full> {
        let caller = caller(from);
        let mut inside = self.inside();
        if inside.all >= self.most {
            return Err(Full::All);
        }
        let count = inside.callers.get(&caller).copied().unwrap_or(0);
        if count >= self.most_of_one {
            return Err(Full::Caller);
        }
        inside.callers.insert(caller, count + 1);
        inside.all += 1;
        self.show(inside.all);
        Ok(Place {
            door: self.clone(),
            caller,
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: usize) {
        metrics::gauge!("trunkline_http_connections", "listener" => self.listener).set(open as f64);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.all -= 1;
        self.door.show(inside.all);
        if let Some(count) = inside.callers.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                inside.callers.remove(&self.caller);
            }
        }
    }
}

/// Whom an address belongs to.
fn caller(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(door: &Arc<Door>, from: &str) -> Result<Place, Full> {
        door.enter(from.parse().expect(from))
    }

    #[test]
    fn one_caller_does_not_take_every_place() {
        let door = Door::new("test", 3, 2);
        let first = enter(&door, "192.0.2.1").expect("free");
        // The same address, as an IPv6 socket shows it.
        let second = enter(&door, "::ffff:192.0.2.1").expect("free");
        assert_eq!(enter(&door, "192.0.2.1").err(), Some(Full::Caller));
        let _other = enter(&door, "192.0.2.2").expect("a place is left for others");
        assert_eq!(enter(&door, "192.0.2.3").err(), Some(Full::All));
        drop(first);
        let third = enter(&door, "192.0.2.1").expect("free again");
        drop((second, third));
        assert_eq!(door.inside().callers.len(), 1, "who left is forgotten");
    }

    #[test]
    fn addresses_of_one_network_are_one_caller() {
        let door = Door::new("test", 10, 1);
        let _one = enter(&door, "2001:db8::1").expect("free");
        assert_eq!(enter(&door, "2001:db8::ffff:2").err(), Some(Full::Caller));
        assert!(enter(&door, "2001:db8:0:1::1").is_ok());
    }
}
