//! Why a request had no answer, from the errors that lie behind each other.
//!
//! The HTTP client wraps what went wrong several times over. What is told to an operator is the cause: it decides who
//! has to do something about it.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::attempt::NoAnswer;
use super::resolve::{NoneAllowed, Unresolved};

/// Why a request had no answer.
pub(super) fn why(error: &reqwest::Error) -> NoAnswer {
    let found = causes(error).find_map(cause);
    match found {
        Some(why) => why,
        None if error.is_timeout() => NoAnswer::Timeout,
        None if error.is_connect() => NoAnswer::Unreachable,
        // There was a connection, and nothing to be made of what came over it.
        None if breaks_off(error) => NoAnswer::Broken,
        None if error.is_request() => NoAnswer::Garbled,
        None => NoAnswer::Unreachable,
    }
}

/// The errors behind each other. An I/O error keeps what it wraps to itself.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// What one of them says, if it says enough.
fn cause(error: &(dyn Error + 'static)) -> Option<NoAnswer> {
    if error.is::<NoneAllowed>() {
        return Some(NoAnswer::Forbidden);
    }
    if error.is::<Unresolved>() {
        return Some(NoAnswer::Unresolved);
    }
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(fault)) => return Some(NoAnswer::Certificate(words(fault))),
        Some(rustls::Error::NoCertificatesPresented) => {
            return Some(NoAnswer::Certificate("it shows none"));
        }
        Some(_) => return Some(NoAnswer::Tls),
        None => {}
    }
    let kind = error.downcast_ref::<io::Error>()?.kind();
    match kind {
        io::ErrorKind::ConnectionRefused => Some(NoAnswer::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(NoAnswer::Broken),
        io::ErrorKind::TimedOut => Some(NoAnswer::Timeout),
        _ => None,
    }
}

/// What is wrong with a certificate.
fn words(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::UnknownIssuer => "nobody known here has issued it",
        CertificateError::Revoked => "it was revoked",
        _ => "it is not a proper one",
    }
}

/// Whether the other side went away before it had said anything. The client's own error is not to be named in this room:
/// it is known by its words.
fn breaks_off(error: &reqwest::Error) -> bool {
    causes(error).any(|error| error.to_string().contains("closed before message completed"))
}
