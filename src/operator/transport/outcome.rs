//! What an error proves: whether a byte of the request can have left.
//!
//! Types decide, never texts. Only an error that the connector gave proves that nothing was sent: the client hands the request
//! to a connection after the connector has finished, TLS included. All else is lost, also where the library says that it never
//! began to write.

use std::error::Error;
use std::io;

use crate::provider::{Lost, NotSent};

/// Why nothing was sent, if the error proves it.
pub(super) fn not_sent(error: &reqwest::Error) -> Option<NotSent> {
    if !error.is_connect() {
        return None;
    }
    let mut why = NotSent::NotConnected;
    walk(error, &mut |part| {
        if let Some(own) = part.downcast_ref::<NotSent>() {
            why = *own;
        } else if part.is::<rustls::Error>() {
            why = NotSent::TlsRejected;
        }
    });
    if why == NotSent::NotConnected && error.is_timeout() { Some(NotSent::ConnectTimeout) } else { Some(why) }
}

/// How an answer was lost, for an error that is not [`not_sent`].
pub(super) fn lost(error: &reqwest::Error) -> Lost {
    let mut too_large = false;
    walk(error, &mut |part| {
        too_large |= part.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large);
    });
    match (too_large, error.is_timeout()) {
        (true, _) => Lost::TooLarge,
        (false, true) => Lost::Timeout,
        (false, false) => Lost::ConnectionEnded,
    }
}

/// What an error of a connection without HTTP is: TLS says no, or the connection failed.
pub(super) fn handshake(error: &io::Error) -> NotSent {
    let mut why = NotSent::NotConnected;
    walk(error, &mut |part| {
        if part.is::<rustls::Error>() {
            why = NotSent::TlsRejected;
        }
    });
    if why == NotSent::NotConnected && error.kind() == io::ErrorKind::TimedOut { NotSent::ConnectTimeout } else { why }
}

/// Visits an error and its causes. An `io::Error` that wraps another error names that error's cause as its own, so it is opened.
fn walk(error: &(dyn Error + 'static), visit: &mut dyn FnMut(&(dyn Error + 'static))) {
    visit(error);
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(inner) = wrapped {
        walk(inner, visit);
    } else if let Some(cause) = error.source() {
        walk(cause, visit);
    }
}
