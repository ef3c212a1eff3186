//! The examples of the declared provider, as they are in `examples/manifests`: Vault's against OpenBao, PocketBase's against
//! PocketBase, GitLab's against a stand-in with GitLab's rules.
//!
//! The two servers need Python with pip: without it the tests say so and are skipped, with `CI=true` they fail.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::token_servers::{ROOT, Server, pip};
use crate::world::{Scene, test};

/// Whether the servers can be had; says so if not.
fn servers(name: &str) -> bool {
    let Err(missing) = pip() else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing:#}");
    // Past the capture of the test harness, which would hide it.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {missing:#}");
    false
}

/// An example with another address and a real token.
fn example(text: &str, (address, url): (&str, &str), (placeholder, token): (&str, &str)) -> String {
    assert!(text.contains(address) && text.contains(placeholder));
    text.replace(address, url).replace(placeholder, token)
}

#[test]
fn a_real_openbao_renews_its_token_until_it_is_revoked() {
    if !servers("openbao") {
        return;
    }
    test("http-openbao", |scene| async move {
        let bao = Server::openbao().await.unwrap();
        let root = ("x-vault-token", ROOT);
        let create = async |period: &str| {
            let wish = json!({"period": period, "policies": ["default"], "no_parent": true});
            let (status, made) = bao.call("POST", "/v1/auth/token/create", root, wish).await;
            assert_eq!(status, 200, "{made}");
            made["auth"]["client_token"].as_str().unwrap().to_owned()
        };
        let look = async |token: &str| bao.call("GET", "/v1/auth/token/lookup-self", ("x-vault-token", token), json!(null)).await;
        let manifest = |token: &str| {
            let address = ("https://vault.example.com:8200", bao.url.as_str());
            example(include_str!("../../examples/manifests/vault-renew-self.yaml"), address, ("s.put-the-token-here", token))
        };
        let token = create("30s").await;
        scene.apply(&manifest(&token)).await;
        scene.refreshed("vault", 1).await;
        let first = scene.value("vault-token", "expires_at").await.unwrap();
        // Longer than the life of the token: it lives by renewal alone.
        scene.refreshed("vault", 3).await;
        assert_eq!(scene.value("vault-token", "VAULT_TOKEN").await.as_ref(), Some(&token), "the token keeps its value");
        assert!(scene.value("vault-token", "expires_at").await.unwrap() > first, "its end does not move");
        let (status, seen) = look(&token).await;
        assert_eq!(status, 200, "{seen}");
        let shown = scene.status("vault").await.token.unwrap();
        assert_eq!(shown.token_id.as_deref(), seen["data"]["accessor"].as_str());
        assert_eq!(shown.scope.as_deref(), Some("default"));

        // Somebody revokes it: a refusal of Vault's that the example lists.
        let accessor = json!({"accessor": seen["data"]["accessor"]});
        assert_eq!(bao.call("POST", "/v1/auth/token/revoke-accessor", root, accessor).await.0, 204);
        scene.stalled("vault", "ChainLost").await;

        // A new token in the seed, and the object goes: its token goes with it.
        let next = create("1h").await;
        let generation = scene.status("vault").await.chain_generation.unwrap();
        scene.apply(&manifest(&next)).await;
        scene.refreshed("vault", generation + 1).await;
        let revoke = r#"{"spec":{"deletionPolicy":"Revoke"}}"#;
        scene.kubectl(&["patch", "rtok", "vault", "--type=merge", "-p", revoke], None).await.checked().unwrap();
        assert_eq!(look(&next).await.0, 200);
        scene.kubectl(&["delete", "rtok", "vault", "--timeout=60s"], None).await.checked().unwrap();
        assert_eq!(look(&next).await.0, 403, "the token outlives its object");
    });
}

#[test]
fn a_real_pocketbase_replaces_its_token_until_the_password_changes() {
    if !servers("pocketbase") {
        return;
    }
    test("http-pocketbase", |scene| async move {
        let (email, password) = ("admin@example.com", "password-12");
        let base = Server::pocketbase(email, password).await.unwrap();
        let none = ("x-none", "");
        let sign_in = async |collection: &str, email: &str| {
            let path = format!("/api/collections/{collection}/auth-with-password");
            let (status, answer) = base.call("POST", &path, none, json!({"identity": email, "password": password})).await;
            assert_eq!(status, 200, "{answer}");
            answer["token"].as_str().unwrap().to_owned()
        };
        let admin = sign_in("_superusers", email).await;
        let admin = ("authorization", admin.as_str());
        let short = json!({"authToken": {"duration": 30}});
        let (status, answer) = base.call("PATCH", "/api/collections/users", admin, short).await;
        assert_eq!(status, 200, "{answer}");
        let user = json!({"email": "ci@example.com", "password": password, "passwordConfirm": password});
        let (status, user) = base.call("POST", "/api/collections/users/records", admin, user).await;
        assert_eq!(status, 200, "{user}");
        let id = user["id"].as_str().unwrap();
        let token = sign_in("users", "ci@example.com").await;
        let address = ("https://pocketbase.example.com", base.url.as_str());
        let text = include_str!("../../examples/manifests/pocketbase-auth-refresh.yaml");
        scene.apply(&example(text, address, ("put-the-token-here", &token))).await;
        scene.refreshed("pocketbase", 3).await;
        let newest = scene.value("pocketbase-token", "access_token").await.unwrap();
        assert_ne!(newest, token);
        assert_eq!(scene.status("pocketbase").await.token.unwrap().subject.as_deref(), Some(id));
        let bearer = format!("Bearer {newest}");
        let valid =
            async || base.call("POST", "/api/collections/users/auth-refresh", ("authorization", &bearer), json!(null)).await.0;
        assert_eq!(valid().await, 200);

        // A new password ends every token of the record.
        let other = json!({"password": "password-13", "passwordConfirm": "password-13"});
        let path = format!("/api/collections/users/records/{id}");
        assert_eq!(base.call("PATCH", &path, admin, other).await.0, 200);
        assert_eq!(valid().await, 401);
        scene.stalled("pocketbase", "ChainLost").await;
    });
}

/// What the stand-in for GitLab knows.
#[derive(Default)]
struct Rotations {
    /// The token that works, unless a rotated one was presented.
    live: Option<String>,
    /// Every token that was presented for rotation, and the status of the answer.
    presented: Vec<(String, u16)>,
}

/// A token is exchanged for its successor once; presented again, it takes the successor with it (gitlab.com issue 524639).
async fn gitlab(listener: TcpListener, rotations: Arc<Mutex<Rotations>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let mut length = 0;
        while !request[..length].ends_with(b"\r\n\r\n") {
            match stream.read(&mut request[length..]).await {
                Ok(read @ 1..) => length += read,
                // Who only looks whether it can connect.
                Ok(0) | Err(_) => break,
            }
        }
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let Some(presented) = request
            .lines()
            .find_map(|line| line.to_ascii_lowercase().starts_with("private-token: ").then(|| line[15..].to_owned()))
        else {
            continue;
        };
        let (status, body) = {
            let mut rotations = rotations.lock().unwrap();
            let good = request.starts_with("POST /api/v4/personal_access_tokens/self/rotate ")
                && rotations.live.as_ref() == Some(&presented);
            let next = format!("glpat-{}", rotations.presented.len() + 1);
            rotations.live = good.then(|| next.clone());
            rotations.presented.push((presented, if good { 200 } else { 401 }));
            let day = SystemClock.now() + chrono::TimeDelta::days(7);
            let granted = json!({"id": rotations.presented.len(), "scopes": ["api"], "expires_at": day.format("%Y-%m-%d").to_string(), "token": next});
            if good { ("200 OK", granted) } else { ("401 Unauthorized", json!({"error": "invalid_token"})) }
        };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[test]
fn a_gitlab_token_is_exchanged_once_each_time() {
    test("http-gitlab", |scene| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rotations = Arc::new(Mutex::new(Rotations { live: Some("glpat-0".into()), ..Rotations::default() }));
        let server = tokio::spawn(gitlab(listener, Arc::clone(&rotations)));
        let text = include_str!("../../examples/manifests/gitlab-personal-access-token.yaml");
        scene.apply(&example(text, ("https://gitlab.example.com", &url), ("glpat-put-the-token-here", "glpat-0"))).await;
        scene.refreshed("gitlab", 1).await;
        for request in 2..=3 {
            ask(&scene, request).await;
            scene.refreshed("gitlab", request).await;
        }
        assert_held(&scene, "glpat-3").await;
        let status = scene.status("gitlab").await;
        let token = status.token.unwrap();
        assert_eq!((token.token_id.as_deref(), token.scope.as_deref()), (Some("3"), Some("api")));
        let presented = rotations.lock().unwrap().presented.clone();
        let expected = [("glpat-0", 200), ("glpat-1", 200), ("glpat-2", 200)].map(|(token, status)| (token.to_owned(), status));
        assert_eq!(presented, expected);

        // Somebody else rotates it: one refusal, and no call after it.
        rotations.lock().unwrap().live = None;
        ask(&scene, 4).await;
        scene.stalled("gitlab", "ChainLost").await;
        ask(&scene, 5).await;
        scene
            .until("gitlab", "the echo of the request", |object| {
                object.status.as_ref().and_then(|status| status.last_handled_refresh_request.as_deref()) == Some("5")
            })
            .await;
        assert_eq!(rotations.lock().unwrap().presented.len(), 4, "a dead token was presented again");
        server.abort();
    });
}

/// Asks for a refresh.
async fn ask(scene: &Scene<'_>, request: i64) {
    let annotation = format!("refreshabletoken.io/refresh-requested-at={request}");
    scene.kubectl(&["annotate", "rtok", "gitlab", "--overwrite", &annotation], None).await.checked().unwrap();
}

/// State and output hold this token, both as what is used and as what is spent next.
async fn assert_held(scene: &Scene<'_>, token: &str) {
    for _ in 0..50 {
        let held = [
            scene.value("gitlab-state", "access_token").await,
            scene.value("gitlab-state", "refresh_token").await,
            scene.value("gitlab-token", "password").await,
        ];
        if held.iter().all(|held| held.as_deref() == Some(token)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("state and output do not hold the newest token");
}
