//! What may come of a request: an answer that proves something, a sending that failed, or no request at all.

use std::time::Duration;

use thiserror::Error;

use super::Reply;

/// What a refusal proves about the token that was presented. Only the class decides what happens next (design section 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Nothing was spent; the same request may succeed later.
    Transient,
    /// Nothing was spent; the API asked for a pause.
    Throttled,
    /// Nothing was spent; a person or another system has to change something first.
    Configuration,
    /// The chain is over: this token will never be accepted again.
    ChainOver,
    /// Nobody can tell whether the token was spent.
    Unknown,
}

/// Why a token API gave no tokens. Holds nothing that the API wrote but codes from fixed lists.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[error("the token API answered HTTP {status}: {detail}")]
pub struct TokenError {
    /// What the answer proves.
    pub class: Class,
    /// HTTP status code of the answer.
    pub status: u16,
    /// A code from a fixed list (RFC 6749 section 5.2, a vendor's page) or our own words; never text of the answer.
    pub detail: &'static str,
    /// How long the API asked us to wait (`Retry-After`), limited to 1 s .. 1 h.
    pub retry_after: Option<Duration>,
}

/// How the one sending of a request ended, as far as the sender can prove.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Delivery {
    /// A complete answer came.
    Answered(Reply),
    /// Not one byte of the request left: nothing can be spent.
    NotSent(NotSent),
    /// The request may have arrived, and no complete answer came.
    Lost {
        /// What happened.
        why: Lost,
        /// What had come of the answer, at most [`MOST_BODY`](super::MOST_BODY); kept for a person to look at.
        partial: Option<Reply>,
    },
}

/// Why not one byte of a request left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum NotSent {
    /// The endpoint policy does not allow the address.
    #[error("the endpoint policy does not allow this address")]
    EndpointNotAllowed,
    /// The host has no address.
    #[error("the host name cannot be resolved")]
    NameNotResolved,
    /// No TCP connection.
    #[error("no connection can be made")]
    NotConnected,
    /// No TLS session: certificate, name or protocol.
    #[error("the TLS connection cannot be verified: certificate authority, host name or protocol version")]
    TlsRejected,
    /// The connection took longer than `timeouts.connect`.
    #[error("the connection took longer than timeouts.connect")]
    ConnectTimeout,
    /// The bundle of certificate authorities cannot be used.
    #[error("the bundle of certificate authorities is not PEM, is empty or is over 64 KiB")]
    CaBundleInvalid,
    /// The server does not take the client's certificate, or wants one and was shown none.
    #[error("the server refuses the client's certificate, or asks for one: see tls.clientCertificateRef")]
    ClientCertificateRejected,
    /// The endpoint policy does not allow the proxy.
    #[error("the endpoint policy does not allow the address of the proxy: see proxy.url")]
    ProxyNotAllowed,
    /// The proxy has no address, or takes no connection.
    #[error("no connection to the proxy can be made, or its name cannot be resolved: see proxy.url")]
    ProxyUnreachable,
    /// The proxy opened no tunnel.
    #[error("the proxy opens no tunnel to the token API: it refuses its host or port, cannot reach it, or is no HTTP proxy")]
    ProxyRefused,
    /// The proxy wants other credentials, or some (status 407).
    #[error("the proxy does not take the credentials, or asks for some: see proxy.credentialsSecretRef")]
    ProxyCredentialsRejected,
    /// The client's private key did not sign.
    #[error("the client's private key could not sign")]
    NotSigned,
    /// Too much time had passed since the claim, or the operator is shutting down: held back on purpose.
    #[error("the request was held back: too much time had passed since the claim, or the operator is stopping")]
    HeldBack,
}

/// Why no complete answer came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum Lost {
    /// No complete answer within `timeouts.request`.
    #[error("no complete answer came within timeouts.request")]
    Timeout,
    /// The connection ended first.
    #[error("the connection ended before the answer was complete")]
    ConnectionEnded,
    /// The answer was larger than [`MOST_BODY`](super::MOST_BODY) or its header larger than 64 KiB.
    #[error("the answer was larger than the operator reads (256 KiB)")]
    TooLarge,
    /// The task that waited for the answer broke down.
    #[error("the operator broke down while it waited for the answer")]
    Broken,
}

/// Why no request can be built from what is there. Nothing was sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
pub enum RequestError {
    /// A credential, or a wish that the API needs, is missing; named with the place where it belongs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A credential cannot be sent: it holds a character that its place does not allow, or is too large.
    #[error("{0} cannot be sent: it holds a line break or another character that is not allowed there, or is over 64 KiB")]
    NotSendable(&'static str),
    /// The URL of the provider cannot be used.
    #[error("the provider's URL is not valid: {0}")]
    Url(&'static str),
    /// A key of the seed Secret, which a declared request names, is not there or empty.
    #[error("key {0} of the seed Secret is missing or empty, and provider.http names it")]
    MissingKey(String),
    /// The value of a key of the seed Secret cannot be sent, for the same reasons.
    #[error(
        "key {0} of the seed Secret cannot be sent where provider.http puts it: it holds a character that is not allowed there, or is over 64 KiB"
    )]
    KeyNotSendable(String),
    /// The declared request is none; the CRD refuses it, and an old object can be older than a rule.
    #[error("the request that provider.http declares is not valid: {0}")]
    Declared(&'static str),
}
