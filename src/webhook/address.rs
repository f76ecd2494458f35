//! Which addresses a delivery may be sent to. Pure: classes of addresses, the rules, and the
//! check of a URL as far as it goes without asking a name server.
//!
//! The rules are applied twice: to the URL when an endpoint is made, and to every address that a
//! connection is about to be made to (`resolve`), so a name that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// What an address is, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Reachable by everyone.
    Public,
    /// This machine.
    Loopback,
    /// A private network, shared carrier space included.
    Private,
    /// The local link.
    LinkLocal,
    /// Where a cloud tells its machines their secrets.
    Metadata,
    /// Not an address of one receiver: unspecified, multicast, documentation, reserved.
    Reserved,
}

/// Who chose the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operator, in the configuration.
    Operator,
    /// A caller of the API.
    Caller,
}

/// Why a URL cannot be an endpoint's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not a URL.
    #[error("not a URL: {0}")]
    Unparsable(url::ParseError),
    /// Neither https nor http.
    #[error("the scheme must be https")]
    Scheme,
    /// No host in it.
    #[error("it names no host")]
    NoHost,
    /// A host that is to be filled in.
    #[error("a placeholder may stand in the path and the query only")]
    Placeholder,
    /// User name or password in it.
    #[error("user name and password do not belong into the URL")]
    Credentials,
    /// Plain http to somewhere else than the allowed networks.
    #[error("plain http is for loopback and the allowed networks only")]
    Plain,
    /// A literal address that is not allowed.
    #[error("its address is not a public one and not in the allowed networks")]
    Forbidden,
}

/// The class of an address; an IPv4 address inside an IPv6 one is judged as itself.
pub fn classify(address: IpAddr) -> AddressClass {
    match normalise(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// The IPv4 address that an IPv6 address stands for, if it does; else the address itself.
fn normalise(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let low = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d), and NAT64's well-known prefix
        [0, 0, 0, 0, 0, 0xffff, c, d] | [0, 0, 0, 0, 0xffff, 0, c, d] | [0x64, 0xff9b, 0, 0, 0, 0, c, d] => {
            low(c, d)
        }
        // 6to4 carries its IPv4 address behind the prefix
        [0x2002, a, b, ..] => low(a, b),
        // the old "compatible" form, loopback and unspecified excepted
        [0, 0, 0, 0, 0, 0, c, d] if c != 0 => low(c, d),
        _ => address,
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let octets = address.octets();
    match octets {
        [169, 254, 169, 254] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            AddressClass::Metadata
        }
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [192, 168, ..] => AddressClass::Private,
        [172, second, ..] if second & 0xf0 == 16 => AddressClass::Private,
        [100, second, ..] if second & 0xc0 == 64 => AddressClass::Private,
        [169, 254, ..] => AddressClass::LinkLocal,
        // this network, protocol assignments, documentation, 6to4 relays, benchmarks, multicast and above
        [0, ..]
        | [192, 0, 0, _]
        | [192, 0, 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if address == Ipv6Addr::LOCALHOST {
        return AddressClass::Loopback;
    }
    let segments = address.segments();
    match segments {
        [0xfd00, 0x0ec2, ..] => AddressClass::Metadata,
        [first, ..] if first & 0xfe00 == 0xfc00 => AddressClass::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 => AddressClass::LinkLocal,
        // Teredo and its neighbours, ORCHID, documentation: nothing a receiver lives in
        [0x2001, second, ..] if second < 0x0200 || second == 0x0db8 => AddressClass::Reserved,
        [0x3fff, second, ..] if second < 0x1000 => AddressClass::Reserved,
        // global unicast is 2000::/3; everything outside it is something else
        [first, ..] if first & 0xe000 == 0x2000 => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

/// The rules of this installation.
#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    /// Networks that are allowed although they are not public.
    pub allowed: Vec<IpNet>,
}

impl AddressRules {
    /// Whether a connection for a URL of this trust and scheme may be made to the address.
    pub fn permit(&self, address: IpAddr, trust: Trust, encrypted: bool) -> bool {
        if self.allows(address) {
            return true;
        }
        match (trust, encrypted) {
            (Trust::Operator, true) => true,
            (Trust::Operator, false) => classify(address) == AddressClass::Loopback,
            (Trust::Caller, true) => classify(address) == AddressClass::Public,
            (Trust::Caller, false) => false,
        }
    }

    /// Whether the address lies in an allowed network.
    fn allows(&self, address: IpAddr) -> bool {
        let normal = normalise(address);
        self.allowed
            .iter()
            .any(|network| network.contains(&normal) || network.contains(&address))
    }

    /// Checks a URL as far as its text tells: the form, the scheme, a literal address.
    pub fn check_url(&self, text: &str, trust: Trust) -> Result<Url, UrlFault> {
        let url = Url::parse(text).map_err(UrlFault::Unparsable)?;
        self.check(&url, trust)?;
        Ok(url)
    }

    /// The same for a URL that is parsed already.
    pub fn check(&self, url: &Url, trust: Trust) -> Result<(), UrlFault> {
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlFault::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::Credentials);
        }
        let address = match url.host().ok_or(UrlFault::NoHost)? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain("") => return Err(UrlFault::NoHost),
            Host::Domain(name) if name.contains(['{', '}']) => return Err(UrlFault::Placeholder),
            Host::Domain(name) => {
                let local = trust == Trust::Operator && is_localhost(name);
                if !encrypted && !local && self.allowed.is_empty() {
                    return Err(UrlFault::Plain);
                }
                return Ok(());
            }
        };
        match self.permit(address, trust, encrypted) {
            true => Ok(()),
            false if !encrypted && classify(address) == AddressClass::Public => Err(UrlFault::Plain),
            false => Err(UrlFault::Forbidden),
        }
    }
}

/// Whether a name means this machine without asking anyone.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().expect(text))
    }

    #[test]
    fn each_class_has_its_addresses() {
        use AddressClass::*;
        for (text, expected) in [
            ("1.1.1.1", Public),
            ("93.184.216.34", Public),
            ("172.15.0.1", Public),
            ("172.32.0.1", Public),
            ("100.63.0.1", Public),
            ("100.128.0.1", Public),
            ("127.0.0.1", Loopback),
            ("127.255.3.4", Loopback),
            ("10.1.2.3", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("100.64.0.1", Private),
            ("169.254.1.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("0.0.0.0", Reserved),
            ("0.1.2.3", Reserved),
            ("192.0.2.9", Reserved),
            ("198.18.0.1", Reserved),
            ("224.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("2606:4700:4700::1111", Public),
            ("2a00:1450:4001::1", Public),
            ("::1", Loopback),
            ("::", Reserved),
            ("fc00::1", Private),
            ("fd12:3456::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fe80::1", LinkLocal),
            ("fec0::1", LinkLocal),
            ("ff02::1", Reserved),
            ("2001:db8::1", Reserved),
            ("2001::1", Reserved),
            ("100::1", Reserved),
            ("64:ff9b:1::1", Reserved),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:8.8.8.8", Public),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::10.0.0.1", Private),
            ("2002:7f00:1::", Loopback),
            ("2002:a00:1::", Private),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn a_callers_url_must_be_https_and_public() {
        let rules = AddressRules::default();
        let check = |text| rules.check_url(text, Trust::Caller).map(|_| ());
        assert_eq!(check("https://hooks.example/x?y=1"), Ok(()));
        assert_eq!(check("https://1.1.1.1/x"), Ok(()));
        assert_eq!(check("http://hooks.example/x"), Err(UrlFault::Plain));
        assert_eq!(check("http://1.1.1.1/"), Err(UrlFault::Plain));
        assert_eq!(check("ftp://hooks.example/"), Err(UrlFault::Scheme));
        assert_eq!(check("https://me:pw@hooks.example/"), Err(UrlFault::Credentials));
        assert_eq!(
            check("https://hooks.example@127.0.0.1/"),
            Err(UrlFault::Credentials)
        );
        assert!(matches!(check("hooks.example"), Err(UrlFault::Unparsable(_))));
        for disguised in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://169.254.169.254/latest/meta-data",
            "https://0/",
            "https://192.168.1.1:8443/",
            "https://127.0.0.1./",
            "https://0x7f000001./",
            "https://127.0x1/",
            "https://0177.0.0.01/",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://127\u{3002}0\u{3002}0\u{3002}1/",
            "https://%31%32%37.0.0.1/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
        ] {
            assert_eq!(check(disguised), Err(UrlFault::Forbidden), "{disguised}");
        }
    }

    #[test]
    fn allowed_networks_and_the_operator_widen_it() {
        let rules = AddressRules {
            allowed: vec!["10.1.0.0/16".parse().expect("network")],
        };
        assert!(rules.check_url("http://10.1.2.3/", Trust::Caller).is_ok());
        assert!(
            rules
                .check_url("http://[::ffff:10.1.2.3]/", Trust::Caller)
                .is_ok()
        );
        assert!(rules.check_url("https://10.2.0.1/", Trust::Caller).is_err());
        // a name may turn out to lie in an allowed network; the connection decides
        assert!(rules.check_url("http://intern.example/", Trust::Caller).is_ok());
        let none = AddressRules::default();
        assert!(none.check_url("http://localhost:8080/", Trust::Operator).is_ok());
        assert!(none.check_url("http://127.0.0.1:8080/", Trust::Operator).is_ok());
        assert!(none.check_url("http://localhost:8080/", Trust::Caller).is_err());
        assert!(none.check_url("https://10.0.0.1/", Trust::Operator).is_ok());
        assert_eq!(
            none.check_url("http://crm.example/", Trust::Operator),
            Err(UrlFault::Plain)
        );
    }

    proptest! {
        /// What the standard library calls private, loopback and so on is never public to us.
        #[test]
        fn nothing_local_passes_for_public(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let local = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
            let mapped = IpAddr::V6(v4.to_ipv6_mapped());
            prop_assert_eq!(classify(mapped), classify(IpAddr::V4(v4)));
            if local {
                prop_assert_ne!(classify(IpAddr::V4(v4)), AddressClass::Public);
                prop_assert!(!AddressRules::default().permit(mapped, Trust::Caller, true));
            }
            prop_assert!(!AddressRules::default().permit(mapped, Trust::Caller, false));
        }

        /// Public IPv6 is global unicast and nothing else.
        #[test]
        fn public_ipv6_is_global_unicast(bits: u128) {
            let v6 = Ipv6Addr::from(bits);
            let unwrapped = normalise(IpAddr::V6(v6)).is_ipv4();
            if classify(IpAddr::V6(v6)) == AddressClass::Public && !unwrapped {
                prop_assert_eq!(v6.segments()[0] & 0xe000, 0x2000);
            }
        }

        /// However a private address is written, the URL is refused.
        #[test]
        fn spellings_do_not_matter(last in 0u32..0x00ff_ffff) {
            let address = 0x0a00_0000u32 | last;
            let rules = AddressRules::default();
            for text in [
                format!("https://{}/", Ipv4Addr::from(address)),
                format!("https://{address}/"),
                format!("https://0x{address:x}/"),
                format!("https://[{}]/", Ipv4Addr::from(address).to_ipv6_mapped()),
            ] {
                prop_assert!(rules.check_url(&text, Trust::Caller).is_err(), "{}", text);
            }
        }
    }
}
