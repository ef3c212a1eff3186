//! What the client of the API server reports, in words. Nothing that a program printed or an answer held is repeated: it can be a token.

use std::error::Error;

use kube::client::AuthError;
use kube::core::Status;

use crate::failure::{Failure, Kind};

/// Why `what` was not answered as it should be.
pub fn explain(what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.is_not_found() && status.details.as_ref().is_none_or(|d| d.name.is_empty()) => {
            Failure::refused(format!("{what}: the API server does not know this kind: install the CRD of the operator"))
        }
        kube::Error::Api(status) => Failure { kind: kind(status), message: format!("{what}: {}", status.message) },
        error => unanswered(what, error),
    }
}

/// The same without the API server's own words, which can repeat what was sent.
pub fn silent(what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => {
            let message = format!("{what}: the API server answered {} {}", status.code, status.reason);
            Failure { kind: kind(status), message }
        }
        error => unanswered(what, error),
    }
}

fn kind(status: &Status) -> Kind {
    match status.code {
        401 | 403 => Kind::Forbidden,
        429 | 500.. => Kind::Busy,
        _ => Kind::Refused,
    }
}

fn unanswered(what: &str, error: &kube::Error) -> Failure {
    if let Some(auth) = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>()) {
        return Failure::usage(format!("{what}: {}", no_credentials(auth, None)));
    }
    match error {
        // The decoder's own words show what it read, which can be a Secret.
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            Failure::refused(format!("{what}: the answer is not of the form that this version knows"))
        }
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
            Failure::refused(format!("{what}: the request cannot be built"))
        }
        error => {
            let mut reason = String::new();
            for text in causes(error).map(ToString::to_string) {
                if !reason.contains(&text) {
                    reason = if reason.is_empty() { text } else { format!("{reason}: {text}") };
                }
            }
            Failure::unreachable(format!("{what}: the API server cannot be reached: {reason}"))
        }
    }
}

fn causes(error: &kube::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// Why no client can be made of a kubeconfig; `command` is what it runs for credentials.
pub fn unusable(error: &kube::Error, command: Option<&str>) -> String {
    match error {
        kube::Error::Auth(auth) => no_credentials(auth, command),
        kube::Error::ProxyProtocolUnsupported { proxy_url } | kube::Error::ProxyProtocolDisabled { proxy_url, .. } => {
            // Without the part before the host: it can hold a password.
            let (scheme, host) = (proxy_url.scheme_str().unwrap_or_default(), proxy_url.host().unwrap_or_default());
            format!("proxy-url {scheme}://{host} is not of the form http://, https:// or socks5://")
        }
        error => error.to_string(),
    }
}

/// Why there are no credentials. What a command printed is never shown.
fn no_credentials(error: &AuthError, command: Option<&str>) -> String {
    let command = command.map_or_else(|| "the command".to_owned(), |command| format!("the command {command}"));
    match error {
        AuthError::AuthExecRun { out, .. } => format!("{command} that gives the credentials failed: {}", out.status),
        AuthError::AuthExecStart(why) => format!("{command} that gives the credentials cannot be run: {why}"),
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) | AuthError::ExecPluginFailed => {
            format!("{command} that gives the credentials printed no ExecCredential with a status")
        }
        AuthError::MalformedTokenExpirationDate(_) => {
            format!("{command} that gives the credentials printed an expirationTimestamp that is no time")
        }
        AuthError::ReadTokenFile(why, path) => format!("the token file {} cannot be read: {why}", path.display()),
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => NO_HEADER.to_owned(),
        AuthError::MissingCommand => "user.exec names no command".to_owned(),
        _ => "the credentials that it names cannot be obtained".to_owned(),
    }
}

/// Of a token that cannot be sent.
pub const NO_HEADER: &str = "the token of the user holds a line break or another control character";

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitStatus, Output};

    use super::*;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, message: "said".to_owned(), reason: "Why".to_owned(), ..Status::default() }))
    }

    #[test]
    fn refusals_are_told_from_what_passes_and_from_silence() {
        let kinds = [401, 403, 409, 422, 429, 500, 503].map(|code| explain("it", &api(code)).kind);
        let (no, busy) = (Kind::Forbidden, Kind::Busy);
        assert_eq!(kinds, [no, no, Kind::Refused, Kind::Refused, busy, busy, busy]);
        assert!(explain("it", &api(503)).passes() && !explain("it", &api(403)).passes());
        assert_eq!(silent("it", &api(403)).message, "it: the API server answered 403 Why");
        let nobody = kube::Error::Service("connection refused".into());
        let nobody = explain("it", &nobody);
        assert!(nobody.kind == Kind::Unreachable && nobody.message.ends_with("connection refused"), "{nobody:?}");
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_neither_shown_nor_called_silence() {
        let error = serde_json::from_str::<u8>("\"canary-of-a-secret\"").unwrap_err();
        assert!(error.to_string().contains("canary"), "{error}");
        let failure = explain("it", &kube::Error::SerdeError(error));
        assert!(failure.kind == Kind::Refused && !failure.message.contains("canary"), "{failure:?}");
    }

    #[test]
    fn what_a_command_printed_is_not_shown() {
        let out = Output { status: ExitStatus::from_raw(256), stdout: b"canary".to_vec(), stderr: b"canary".to_vec() };
        let failed = || AuthError::AuthExecRun { cmd: "TOKEN=canary get-token".to_owned(), out: Box::new(out.clone()) };
        let text = unusable(&kube::Error::Auth(failed()), Some("get-token"));
        assert_eq!(text, "the command get-token that gives the credentials failed: exit status: 1");
        let later = explain("it", &kube::Error::Service(Box::new(failed())));
        assert!(later.kind == Kind::Usage && !later.message.contains("canary"), "{later:?}");
        let parsed: Result<u8, _> = serde_saphyr::from_str("canary-answer");
        let wrong = AuthError::AuthExecParse(Box::new(parsed.unwrap_err()));
        assert!(!unusable(&kube::Error::Auth(wrong), None).contains("canary"));
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let proxy_url = Box::new("ftp://user:canary@proxy.example.com:21".parse().unwrap());
        let text = unusable(&kube::Error::ProxyProtocolUnsupported { proxy_url }, None);
        assert!(text.starts_with("proxy-url ftp://proxy.example.com is not") && !text.contains("canary"), "{text}");
    }
}
