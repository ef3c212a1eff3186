//! What an error proves: whether a byte of the request can have left.
//!
//! Types decide, never texts. Only an error that the connector gave proves that nothing was sent: the client hands the request
//! to a connection after the connector has finished, TLS included. All else is lost, also where the library says that it never
//! began to write.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::provider::{Lost, NotSent};

/// How long a server has to say that it does not take the client's certificate, after all of the handshake that the client sees.
/// Our choice: it says so at once, and a server that keeps silent has taken it.
const VERDICT: Duration = Duration::from_secs(1);
/// How often it is looked whether a ticket has come, which no read tells. Our choice: shorter than most ways to a server.
const LOOK: Duration = Duration::from_millis(5);

/// Why nothing was sent, if the error proves it.
pub(super) fn not_sent(error: &reqwest::Error) -> Option<NotSent> {
    if !error.is_connect() {
        return refuses_certificate(error).then_some(NotSent::ClientCertificateRejected);
    }
    let mut why = NotSent::NotConnected;
    walk(error, &mut |part| {
        if let Some(own) = part.downcast_ref::<NotSent>() {
            why = *own;
        } else if let Some(error) = part.downcast_ref::<rustls::Error>() {
            why = rejected(error);
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

/// What an error proves that came after the request was given to a connection which stood.
pub(super) fn ended(error: &hyper::Error) -> Result<Lost, NotSent> {
    if refuses_certificate(error) {
        return Err(NotSent::ClientCertificateRejected);
    }
    Ok(if error.is_parse_too_large() { Lost::TooLarge } else { Lost::ConnectionEnded })
}

/// What an error of a connection without HTTP is: TLS says no, or the connection failed.
pub(super) fn handshake(error: &io::Error) -> NotSent {
    let mut why = NotSent::NotConnected;
    walk(error, &mut |part| {
        if let Some(error) = part.downcast_ref::<rustls::Error>() {
            why = rejected(error);
        }
    });
    if why == NotSent::NotConnected && error.kind() == io::ErrorKind::TimedOut { NotSent::ConnectTimeout } else { why }
}

/// Which of both sides says no.
///
/// In TLS 1.3 the client learns that its certificate is refused, or missed, after it has sent its request: its side of the handshake ends
/// first (RFC 8446 section 2). The server reads nothing of the request before it has taken the certificate, so this too proves that nothing
/// arrived. The alerts are those of sections 4.4.2.4 and 6.2; a server sends them about a client's certificate only.
fn rejected(error: &rustls::Error) -> NotSent {
    match error {
        rustls::Error::AlertReceived(
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired,
        ) => NotSent::ClientCertificateRejected,
        _ => NotSent::TlsRejected,
    }
}

/// Whether the server says no to the client's certificate, or to none.
fn refuses_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut refused = false;
    walk(error, &mut |part| {
        refused |= part.downcast_ref().is_some_and(|error| rejected(error) == NotSent::ClientCertificateRejected);
    });
    refused
}

/// Waits for what shows that the server has taken the client's certificate, or needs none. In TLS 1.2 the handshake itself does (RFC
/// 5246 section 7.3). In TLS 1.3 the client's side ends first: then a session ticket does, which follows the handshake (RFC 8446 section
/// 4.6.1), or that nothing is said against it. Nothing is written meanwhile: the answer to it could take the alert with it.
pub(super) async fn taken(connection: &mut TlsStream<TcpStream>) -> Result<(), NotSent> {
    let mut rest = [0; 64];
    let end = Instant::now() + VERDICT;
    while connection.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3) && Instant::now() < end {
        match timeout(LOOK, connection.read(&mut rest)).await {
            Ok(Err(error)) if refuses_certificate(&error) => return Err(NotSent::ClientCertificateRejected),
            // How the connection ends otherwise is no matter: it stood.
            Ok(Ok(0) | Err(_)) => break,
            Err(_) if connection.get_ref().1.tls13_tickets_received() > 0 => break,
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    Ok(())
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
