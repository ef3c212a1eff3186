//! Where an authorization server's endpoints are, as it tells itself: OpenID Connect Discovery 1.0 section 4 and RFC 8414 section 3.

use serde::Deserialize;
use thiserror::Error;

use super::request::{absolute, get};
use super::{Reply, RequestError, TokenRequest};

/// Longest URL of an endpoint; as in the CRD.
const LONGEST_URL: usize = 1024;

/// The endpoints of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// The token endpoint.
    pub token: String,
    /// The revocation endpoint, if there is one.
    pub revocation: Option<String>,
    /// The introspection endpoint, if there is one.
    pub introspection: Option<String>,
}

/// Why an answer tells no endpoints. Holds nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NoEndpoints {
    /// There is no such document.
    #[error("the server has no metadata at this issuer's addresses (HTTP {0})")]
    Status(u16),
    /// It cannot be read.
    #[error("the server's metadata are no JSON object with issuer and token_endpoint")]
    Unreadable,
    /// They are somebody else's.
    #[error("the server's metadata name another issuer than issuerURL")]
    OtherIssuer,
    /// An endpoint is none that could be called.
    #[error("the server's metadata name an endpoint that is no absolute URL of at most 1024 characters")]
    Url,
}

/// RFC 8414 section 2, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
}

/// The requests for the metadata of an issuer, in the order in which they are tried: OpenID Connect Discovery appends to the issuer's
/// path, RFC 8414 section 3.1 inserts before it.
pub fn metadata_requests(issuer: &str) -> Result<[TokenRequest; 2], RequestError> {
    let url = absolute(issuer)?;
    let appended = format!("{}/.well-known/openid-configuration", url.as_str().trim_end_matches('/'));
    let mut inserted = url.clone();
    inserted.set_path(&format!("/.well-known/oauth-authorization-server{}", url.path().trim_end_matches('/')));
    Ok([get(appended), get(inserted.into())])
}

/// The endpoints that an answer names. The issuer must be the very one that was asked for (RFC 8414 section 3.3): another server's
/// metadata could send tokens elsewhere.
pub fn endpoints(issuer: &str, reply: &Reply) -> Result<Endpoints, NoEndpoints> {
    if reply.status != 200 {
        return Err(NoEndpoints::Status(reply.status));
    }
    let found: Metadata = serde_json::from_slice(&reply.body.0).map_err(|_| NoEndpoints::Unreadable)?;
    if found.issuer != issuer {
        return Err(NoEndpoints::OtherIssuer);
    }
    let usable = |url: &str| url.len() <= LONGEST_URL && absolute(url).is_ok();
    let others = [&found.revocation_endpoint, &found.introspection_endpoint];
    if !usable(&found.token_endpoint) || !others.into_iter().flatten().all(|url| usable(url)) {
        return Err(NoEndpoints::Url);
    }
    Ok(Endpoints {
        token: found.token_endpoint,
        revocation: found.revocation_endpoint,
        introspection: found.introspection_endpoint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Method, RawBody};

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, headers: Vec::new(), body: RawBody(body.as_bytes().to_vec()) }
    }

    #[test]
    fn metadata_are_asked_for_where_both_standards_put_them() {
        for (issuer, urls) in [
            (
                "https://idp.example.com",
                [
                    "https://idp.example.com/.well-known/openid-configuration",
                    "https://idp.example.com/.well-known/oauth-authorization-server",
                ],
            ),
            // RFC 8414 section 3.1, the example with a path.
            (
                "https://example.com/issuer1/",
                [
                    "https://example.com/issuer1/.well-known/openid-configuration",
                    "https://example.com/.well-known/oauth-authorization-server/issuer1",
                ],
            ),
        ] {
            let asked = metadata_requests(issuer).unwrap();
            assert!(asked.iter().all(|request| request.method == Method::Get && request.body.is_none()));
            assert_eq!(asked.map(|request| request.url), urls.map(str::to_owned));
        }
        assert!(metadata_requests("https://user@idp.example.com").is_err());
    }

    #[test]
    fn only_the_issuers_own_word_counts() {
        const ISSUER: &str = "https://idp.example.com";
        let answer =
            |more: &str| format!(r#"{{"issuer":"https://idp.example.com","token_endpoint":"https://idp.example.com/t"{more}}}"#);
        let told = endpoints(ISSUER, &reply(200, &answer(""))).unwrap();
        assert_eq!(told, Endpoints { token: "https://idp.example.com/t".into(), revocation: None, introspection: None });
        let told =
            endpoints(ISSUER, &reply(200, &answer(r#","revocation_endpoint":"https://idp.example.com/r","x":1"#))).unwrap();
        assert_eq!(told.revocation.as_deref(), Some("https://idp.example.com/r"));
        let told = endpoints(ISSUER, &reply(200, &answer(r#","introspection_endpoint":"https://idp.example.com/i""#))).unwrap();
        assert_eq!((told.revocation, told.introspection.as_deref()), (None, Some("https://idp.example.com/i")));
        for (status, body, expected) in [
            (404, String::new(), NoEndpoints::Status(404)),
            (302, String::new(), NoEndpoints::Status(302)),
            (200, "<html>".to_owned(), NoEndpoints::Unreadable),
            (200, r#"{"issuer":"https://idp.example.com"}"#.to_owned(), NoEndpoints::Unreadable),
            (200, answer("").replace("idp.example.com\",", "idp.example.com/\","), NoEndpoints::OtherIssuer),
            (200, answer("").replace("https://idp.example.com/t", "/t"), NoEndpoints::Url),
            (200, answer("").replace("example.com/t", &"x".repeat(1100)), NoEndpoints::Url),
            (200, answer(r#","revocation_endpoint":"ftp://idp.example.com""#), NoEndpoints::Url),
            (200, answer(r#","introspection_endpoint":"https://a@idp.example.com""#), NoEndpoints::Url),
        ] {
            assert_eq!(endpoints(ISSUER, &reply(status, &body)), Err(expected), "{body:.80}");
        }
    }
}
