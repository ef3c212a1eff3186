//! Presets: what each brings, and that it brings nothing more.

use std::time::Duration;

use refreshable_token_operator::api::{Preset, RequestSpec};
use refreshable_token_operator::provider::{Class, Provider, Semantics};
use serde_json::{Value, json};

use crate::{now, provider, reply, wishing};

fn preset(preset: Preset) -> Provider {
    provider(json!({ "preset": preset }))
}

fn class(provider: &Provider, status: u16, body: &str) -> Option<Class> {
    provider.read(&reply(status, body), now()).err().map(|error| error.class)
}

#[test]
fn a_preset_brings_the_semantics_that_the_server_has_as_delivered() {
    let grace = |seconds| Semantics::Grace(Duration::from_secs(seconds));
    let lenient = [
        (Preset::Okta, grace(30)),
        (Preset::Xero, grace(1800)),
        (Preset::Entra, Semantics::Reusable),
        (Preset::Google, Semantics::Reusable),
        (Preset::HubSpot, Semantics::Reusable),
    ];
    for one in Preset::ALL {
        let expected = lenient.iter().find(|(known, _)| *known == one).map_or(Semantics::SingleUse, |(_, semantics)| *semantics);
        assert_eq!(preset(one).semantics(), expected, "{one:?}");
    }
}

#[test]
fn what_the_spec_says_wins_over_the_preset() {
    for one in Preset::ALL {
        let with = |mut more: Value| {
            more["preset"] = json!(one);
            provider(more).semantics()
        };
        assert_eq!(with(json!({"rotation": "Strict"})), Semantics::SingleUse, "{one:?}");
        assert_eq!(with(json!({"rotation": "Reusable"})), Semantics::Reusable, "{one:?}");
        assert_eq!(with(json!({"rotation": "IdempotencyKey"})), Semantics::IdempotencyKey, "{one:?}");
        let grace = Semantics::Grace(Duration::from_secs(7));
        assert_eq!(with(json!({"rotation": "Grace", "graceSeconds": 7})), grace, "{one:?}");
        assert_eq!(with(json!({"grant": "ClientCredentials"})), Semantics::Reissue, "{one:?}");
    }
}

/// Answers as they were recorded; what they come from is told line by line.
#[test]
fn a_preset_knows_the_codes_that_its_server_uses_in_its_own_way() {
    use Class::{ChainOver, Configuration, Throttled, Transient};
    let rows = [
        // Gitea, routers/web/auth/oauth2_provider.go, handleRefreshToken.
        (Preset::Gitea, 400, r#"{"error":"unauthorized_client","error_description":"token was already used"}"#, ChainOver),
        (Preset::Gitea, 400, r#"{"error":"unauthorized_client","error_description":"unable to parse refresh token"}"#, ChainOver),
        (Preset::Gitea, 400, r#"{"error":"invalid_client","error_description":"invalid client secret"}"#, Configuration),
        (Preset::Gitea, 400, r#"{"error":"invalid_grant","error_description":"grant does not exist"}"#, ChainOver),
        // Dex, server/refreshhandlers.go.
        (Preset::Dex, 400, r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#, ChainOver),
        (Preset::Dex, 400, r#"{"error":"invalid_grant","error_description":"claimed by another client."}"#, ChainOver),
        // Fosite (Hydra), handler/oauth2/flow_refresh.go.
        (
            Preset::Hydra,
            400,
            r#"{"error":"invalid_request","error_description":"Failed to refresh token because of multiple concurrent requests using the same token."}"#,
            Transient,
        ),
        (Preset::Hydra, 400, r#"{"error":"invalid_grant","error_description":"The refresh token was already used."}"#, ChainOver),
        // Keycloak issue 16923.
        (
            Preset::Keycloak,
            401,
            r#"{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}"#,
            Configuration,
        ),
        (Preset::Keycloak, 400, r#"{"error":"invalid_grant","error_description":"Token is not active"}"#, ChainOver),
        // HubSpot forum 5490, airbyte issue 79592.
        (Preset::HubSpot, 400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#, ChainOver),
        // Auth0, support article "Unknown or invalid refresh token"; Atlassian documents the same answer.
        (Preset::Auth0, 403, r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#, ChainOver),
        (
            Preset::Atlassian,
            403,
            r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#,
            ChainOver,
        ),
        (Preset::Atlassian, 401, r#"{"error":"access_denied","error_description":"Unauthorized"}"#, Configuration),
        // Slack, method oauth.v2.access: a status of success.
        (Preset::Slack, 200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, ChainOver),
        (Preset::Slack, 200, r#"{"ok":false,"error":"invalid_client_id"}"#, Configuration),
        (Preset::Slack, 200, r#"{"ok":false,"error":"ratelimited"}"#, Throttled),
        // GitHub, "Troubleshooting OAuth app access token request errors": a status of success.
        (Preset::GitHubApp, 200, r#"{"error":"bad_refresh_token","error_description":"x","error_uri":"y"}"#, ChainOver),
        // Zoom: raycast/extensions issue 10896. Salesforce, "OAuth 2.0 Authorization Errors". Box, support community.
        (Preset::Zoom, 400, r#"{"reason":"Invalid Token!","error":"invalid_grant"}"#, ChainOver),
        (Preset::Salesforce, 400, r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#, ChainOver),
        (Preset::Box, 400, r#"{"error":"invalid_grant","error_description":"Refresh token has expired"}"#, ChainOver),
        // Xero, developer community 105714701; Google, "Common errors" of the Ads API; Entra, blobfile issue 93.
        (Preset::Xero, 400, r#"{"error":"invalid_grant"}"#, ChainOver),
        (Preset::Google, 400, r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#, ChainOver),
        (
            Preset::Entra,
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS700082: expired due to inactivity.","error_codes":[700082]}"#,
            ChainOver,
        ),
        (Preset::Entra, 400, r#"{"error":"invalid_resource","error_codes":[500011]}"#, Configuration),
    ];
    for (one, status, body, expected) in rows {
        assert_eq!(class(&preset(one), status, body), Some(expected), "{one:?} {status} {body}");
    }
}

/// Without its preset each of these means what RFC 6749 says, or nothing; and no preset knows the code of another.
#[test]
fn a_code_of_its_own_means_that_at_its_server_only() {
    let own = [
        (Preset::Gitea, 400, r#"{"error":"unauthorized_client"}"#, Class::Configuration),
        (Preset::Dex, 400, r#"{"error":"invalid_request"}"#, Class::Configuration),
        (Preset::Hydra, 400, r#"{"error":"invalid_request"}"#, Class::Configuration),
        (Preset::HubSpot, 400, r#"{"status":"BAD_REFRESH_TOKEN"}"#, Class::Unknown),
        (Preset::Slack, 200, r#"{"error":"ratelimited"}"#, Class::Unknown),
    ];
    for (owner, status, body, otherwise) in own {
        assert_eq!(class(&provider(json!({})), status, body), Some(otherwise), "{body}");
        let known = class(&preset(owner), status, body);
        assert_ne!(known, Some(otherwise), "{owner:?} {body}");
        for other in Preset::ALL.into_iter().filter(|other| *other != owner) {
            let seen = class(&preset(other), status, body);
            // Two may share a code, but never with another meaning than their own tables give it.
            let shared = matches!((owner, other), (Preset::Dex, Preset::Hydra) | (Preset::Hydra, Preset::Dex));
            assert!(seen == Some(otherwise) || shared, "{other:?} {body}: {seen:?}");
        }
    }
    // A text that only speaks of a code is none.
    for one in Preset::ALL {
        let body =
            r#"{"error":"something","error_description":"invalid_grant unauthorized_client invalid_request BAD_REFRESH_TOKEN"}"#;
        assert_eq!(class(&preset(one), 400, body), Some(Class::Unknown), "{one:?}");
        assert_eq!(class(&preset(one), 400, r#"{"error":{"code":"invalid_grant"}}"#), Some(Class::Unknown), "{one:?}");
    }
}

/// Dex answers a scope wider than the first as it answers a dead token: who asked for one cannot tell, and must not end the chain.
#[test]
fn a_dex_token_is_not_given_up_for_the_sake_of_a_scope() {
    let body = r#"{"error":"invalid_request","error_description":"Requested scopes contain unauthorized scope(s): [\"x\"]."}"#;
    let scoped = wishing(json!({"preset": "Dex"}), RequestSpec { scope: Some("openid x".into()), ..RequestSpec::default() });
    assert_eq!(class(&scoped, 400, body), Some(Class::Configuration));
    assert_eq!(class(&preset(Preset::Dex), 400, body), Some(Class::ChainOver));
    // Its failures come with the same code and may come after the token was rotated.
    for status in [500, 503] {
        assert_eq!(class(&preset(Preset::Dex), status, r#"{"error":"invalid_request"}"#), Some(Class::Unknown));
    }
}

/// What no single-use server's preset may ever say: that nothing was spent, where it can have been.
#[test]
fn no_preset_calls_a_failure_of_a_strict_server_harmless() {
    for one in Preset::ALL {
        let spends = preset(one).semantics().spends();
        for status in [408, 500, 502, 503, 504] {
            for body in
                ["", "<html>", r#"{"error":"invalid_request"}"#, r#"{"error":"server_error"}"#, r#"{"error":"invalid_grant"}"#]
            {
                let expected = if spends { Class::Unknown } else { Class::Transient };
                assert_eq!(class(&preset(one), status, body), Some(expected), "{one:?} {status} {body}");
            }
        }
        for body in [r#"{"ok":false,"error":"fatal_error"}"#, r#"{"ok":false,"error":"internal_error"}"#, "", "<html>"] {
            assert_eq!(class(&preset(one), 200, body), Some(Class::Unknown), "{one:?} {body}");
        }
    }
}
