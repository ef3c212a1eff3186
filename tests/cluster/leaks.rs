//! Canary: no token and no password in logs at TRACE, traces, metrics, events, statuses and what kubectl shows of objects.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use refreshable_token_operator::api::ConditionType;
use serde_json::json;
use testbed::issuer::{Client, ClientAuth, Fault, Issuer, Rule};
use tokio::process::{Child, Command};

use crate::collector::Collector;
use crate::manifest::{LONG, access, client_keys, elastic, keys, oauth2};
use crate::metrics::get;
use crate::stage::{LOOPBACK_POLICY, OPERATOR_NAMESPACE};
use crate::world::{PATIENCE, Scene, World, alone, condition};

const CLIENT_SECRET: &str = "canary/client+secret=7f3a91";
/// What somebody writes on an object; no secret, and nobody's business either.
const NOTE: &str = "canary note of a person ";
const PASSWORD: &str = "canary&password%c0ffee";

/// Every spelling in which a secret could be found.
fn spellings(secret: &str) -> Vec<String> {
    let hex: Vec<String> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let form = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut all = vec![secret.to_owned(), form, hex.concat(), secret.chars().take(12).collect()];
    for shift in 0..3_usize {
        // Whole groups of three bytes only: what stands around the secret cannot change them.
        let from = (3 - shift) % 3;
        let bytes = &secret.as_bytes()[from..];
        let whole = &bytes[..bytes.len() / 3 * 3];
        all.extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
    }
    all
}

/// Spellings of secrets that stand in a text; in words that do not repeat the secret.
pub fn found(text: &str, secrets: &[String]) -> Vec<String> {
    let hit = |(number, secret): (usize, &String)| {
        let spelled = spellings(secret).iter().position(|spelling| text.contains(spelling.as_str()));
        spelled.map(|spelling| format!("secret {number} in spelling {spelling}"))
    };
    secrets.iter().enumerate().filter_map(hit).collect()
}

/// The program as it is shipped, with everything logged and traced.
fn program(world: &World, namespace: &str, format: &str, log: &Path, metrics: SocketAddr, collector: &Collector) -> Child {
    let kubeconfig = &world.plane.user("operator").unwrap().path;
    let policy = log.with_extension("policy");
    std::fs::write(&policy, LOOPBACK_POLICY).unwrap();
    Command::new(env!("CARGO_BIN_EXE_refreshable-token-operator"))
        .args(["run", "--namespace", namespace, "--operator-namespace", OPERATOR_NAMESPACE, "--log-format", format])
        .args([Path::new("--kubeconfig"), kubeconfig, Path::new("--endpoint-policy"), &policy])
        .arg(format!("--metrics-addr={metrics}"))
        .env("RUST_LOG", "trace")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .stderr(std::fs::File::create(log).unwrap())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Four APIs, refreshed twice.
async fn successes(scene: Scene<'_>, issuer: &Issuer) {
    let hour = chrono::TimeDelta::hours(1);
    let name = |api: &str| format!("{}-{api}", scene.namespace);
    let pair = issuer.seed_jfrog_access(&name("access"), hour);
    scene.put_seed("access", &keys(&pair)).await;
    let mut object = scene.manifest("access", access(issuer));
    object["spec"]["request"] = json!({"lifetime": LONG, "includeReferenceToken": true});
    object["spec"]["outputs"] = json!([
        {"secretName": "access-token", "opaque": {"refreshTokenKey": "refresh", "referenceTokenKey": "reference"}},
        {"secretName": "access-pull", "dockerConfigJSON": {"registries": ["docker.example.com"], "username": "ci"}},
    ]);
    // Bad input 66: almost as much as the API server takes.
    object["metadata"]["annotations"] = json!({"example.com/note": NOTE.repeat(250 * 1024 / NOTE.len())});
    scene.put(&object).await;
    object["metadata"]["annotations"] = json!({"example.com/note": NOTE.repeat(1024 * 1024 / NOTE.len())});
    assert!(scene.try_put(&object).await.unwrap_err().to_string().contains("may not be more than 262144 bytes"));
    let pair = issuer.seed_jfrog_distribution(&name("distribution"), hour);
    scene.put_seed("distribution", &[keys(&pair).as_slice(), &[("username", "admin"), ("password", PASSWORD)]].concat()).await;
    let provider = json!({"jfrogDistribution": {"url": issuer.url()}});
    let mut object = scene.manifest("distribution", provider);
    object["spec"]["request"] = json!({"lifetime": LONG});
    scene.put(&object).await;
    let pair = issuer.seed_ece(&name("elastic"), hour);
    scene.put_seed("elastic", &keys(&pair)).await;
    scene.put(&scene.manifest("elastic", elastic(issuer))).await;
    let pair = issuer.seed_oauth2(&name("oauth2"), "client", hour);
    scene.put_seed("oauth2", &client_keys(&pair, CLIENT_SECRET)).await;
    scene.put(&scene.manifest("oauth2", oauth2(issuer))).await;
    for name in ["access", "distribution", "elastic", "oauth2"] {
        scene.refreshed(name, 1).await;
        scene.force(name, "now").await;
        scene.refreshed(name, 2).await;
    }
}

/// Answers that repeat the token in body and header, and answers that are lost.
async fn failures(scene: Scene<'_>, issuer: &Issuer) {
    for name in ["bad400", "bad401", "bad500", "garbage", "cut", "dropped"] {
        let pair = issuer.seed_jfrog_access(&format!("{}-{name}", scene.namespace), chrono::TimeDelta::hours(1));
        let body = format!(r#"{{"error": "invalid_grant", "error_description": "{} {}"}}"#, pair.refresh(), pair.access_token);
        let headers = vec![("www-authenticate".to_owned(), format!("Bearer {}", pair.access_token))];
        let fault = match name {
            "garbage" => Fault::Malformed { body: format!("{body}{body}") },
            "cut" => Fault::Truncate { keep: 200, chunked: true },
            "dropped" => Fault::DropAnswer { reset: true },
            _ => Fault::Status { code: name[3..].parse().unwrap(), headers, body, process: false },
        };
        issuer.arm(Rule::once(fault).times(9).chain(pair.chain));
        scene.put_seed(name, &keys(&pair)).await;
        let mut object = scene.manifest(name, access(issuer));
        object["spec"]["request"] = json!({"lifetime": LONG});
        scene.put(&object).await;
    }
    scene.put_seed("newline", &[("refresh_token", "canary-in-a-seed-with\nnewline")]).await;
    scene.put(&scene.access("newline", LONG)).await;
    for name in ["bad400", "bad401", "bad500", "garbage", "cut", "dropped", "newline"] {
        let troubled = |object: &_| {
            [ConditionType::Stalled, ConditionType::Reconciling].into_iter().any(|type_| condition(object, type_).is_some())
        };
        scene.until(name, "trouble", troubled).await;
    }
}

/// All that people and programs may read without the right to read Secrets.
async fn shown(world: &World) -> Vec<(&'static str, String)> {
    let commands: [(&str, &[&str]); 5] = [
        ("core events", &["get", "events", "-A", "-o", "yaml"]),
        ("events", &["get", "events.events.k8s.io", "-A", "-o", "json"]),
        ("objects", &["get", "rtok", "-A", "-o", "json"]),
        ("table", &["get", "rtok", "-A", "-o", "wide"]),
        ("describe", &["describe", "rtok", "-A"]),
    ];
    let mut texts = Vec::new();
    for (what, command) in commands {
        texts.push((what, world.plane.kubectl(command, None).await.unwrap().checked().unwrap()));
    }
    texts
}

/// An address that nothing listens on at this moment.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// SIGTERM, and its end.
async fn stop(child: &mut Child) {
    let id = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
}

/// Asserts that the spans of a refresh arrived, in the trace that the log names.
fn traced(log: &str, collector: &Collector) {
    let traces = collector.text();
    for name in ["refreshable-token-operator", "reconcile", "provider.refresh", "state.write", "outputs.write", "status_code"] {
        assert!(traces.contains(name), "no {name} in the traces");
    }
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let refreshed = lines.filter(|line| line["reason"] == "Refreshed" || line["message"] == "exchange ended");
    let spans: Vec<_> = refreshed.flat_map(|line| line["spans"].as_array().cloned().unwrap()).collect();
    let reconcile = spans.iter().find(|span| span["name"] == "reconcile").unwrap();
    for field in ["controller", "namespace", "name", "uid", "generation", "trace_id"] {
        assert!(!reconcile[field].is_null(), "no {field} in {reconcile}");
    }
    let id = reconcile["trace_id"].as_str().unwrap();
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert!(collector.holds(&bytes), "the log names a trace that did not arrive");
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rtok-leaks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn no_token_is_shown_or_logged() {
    alone(async {
        let world = World::bare().await.unwrap();
        let client = Client { secret: CLIENT_SECRET.into(), auth: ClientAuth::Basic, scope: "read".into() };
        let issuer = Issuer::builder().client("client", client).user("admin", PASSWORD, true).start().await.unwrap();
        let folder = folder();
        let collector = Collector::start().await;
        let mut logs = Vec::new();
        for format in ["json", "text"] {
            let scene = world.scene(format).await;
            let log = folder.join(format!("{format}.log"));
            let metrics = free_address();
            let mut child = program(&world, format, format, &log, metrics, &collector);
            successes(scene, &issuer).await;
            failures(scene, &issuer).await;
            for accept in ["application/openmetrics-text", "text/plain"] {
                logs.push(("metrics", get(metrics, "/metrics", &[("accept", accept)]).await.2));
            }
            stop(&mut child).await;
            let log = std::fs::read_to_string(&log).unwrap();
            if format == "json" {
                traced(&log, &collector);
            }
            logs.push(("log", log));
        }
        std::fs::remove_dir_all(&folder).unwrap();

        assert!(logs.iter().all(|(_, log)| !log.contains(NOTE)) && !collector.text().contains(NOTE), "an annotation is repeated");
        let mut secrets = vec![CLIENT_SECRET.to_owned(), PASSWORD.to_owned(), "canary-in-a-seed-with".to_owned()];
        for pair in issuer.chains().into_iter().flat_map(|chain| chain.pairs) {
            secrets.extend([Some(pair.access_token), pair.refresh_token, pair.reference_token].into_iter().flatten());
        }
        let mut texts = shown(&world).await;
        texts.extend(logs);
        texts.push(("traces", collector.text()));
        for (what, text) in &texts {
            println!("{what}: {} bytes searched for {} secrets", text.len(), secrets.len());
            assert!(text.len() > 1000, "{what}: too little to be true");
            assert_eq!(found(text, &secrets), Vec::<String>::new(), "{what}");
        }
        let kept = world.plane.kubectl(&["get", "secrets", "-A", "-o", "json"], None).await.unwrap().stdout;
        assert!(found(&kept, &secrets).len() > secrets.len() / 2, "the search finds what is there");
    });
}
