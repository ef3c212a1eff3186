//! Random sequences.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Client;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::{Value, json};
use testbed::control_plane::ControlPlane;
use testbed::fake_cluster::FakeCluster;
use tokio::runtime::Runtime;

use crate::operation::{Operation, operation};
use crate::side::Side;
use crate::stage;

/// How many random sequences a normal run sends.
const SEQUENCES: u32 = 60;
/// How many requests a sequence has at most.
const LONGEST: usize = 30;

pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    stage::crypto();
    Runtime::new().unwrap()
});
static PLANE: LazyLock<(ControlPlane, Client)> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let plane = ControlPlane::start().await.unwrap();
        stage::install(&plane).await.unwrap();
        let mut config = stage::config(plane.kubeconfig_yaml()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        // The watch cache of a new kind takes a moment.
        let cached = || http::Request::get("/apis/refreshabletoken.io/v1alpha1/refreshabletokens?resourceVersion=0");
        while client.request::<Value>(cached().body(Vec::new()).unwrap()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        (plane, client)
    })
});

/// Sends a sequence to both clusters; the error tells the first difference.
pub fn compare(sequence: &[Operation]) -> Result<(), String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let real = PLANE.1.clone();
    RUNTIME.block_on(async {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let create = http::Request::post("/api/v1/namespaces").body(serde_json::to_vec(&body).unwrap()).unwrap();
        real.request::<Value>(create).await.unwrap();
        let cluster = FakeCluster::new(|| chrono::DateTime::UNIX_EPOCH);
        cluster.create_namespace(&namespace);
        let mut real = Side::begin(real, &namespace).await;
        let mut fake = Side::begin(cluster.client("conformance", &namespace), &namespace).await;
        for (at, operation) in sequence.iter().enumerate() {
            let (expected, found) = (real.perform(operation).await, fake.perform(operation).await);
            differ(&format!("request {at}, {operation:?}"), &expected, &found)?;
        }
        let (expected, found) = (real.watched().await, fake.watched().await);
        for (at, (expected, found)) in expected.iter().zip(&found).enumerate() {
            differ(&format!("event {at}"), expected, found)?;
        }
        if expected.len() != found.len() {
            return Err(format!("{} events, and {} of the fake", expected.len(), found.len()));
        }
        match cluster.unknown().as_slice() {
            [] => Ok(()),
            unknown => Err(format!("not known: {unknown:?}")),
        }
    })
}

fn differ(what: &str, expected: &Value, found: &Value) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let mut paths = Vec::new();
    differences("", expected, found, &mut paths);
    Err(format!("{what}:\n{}", paths.join("\n")))
}

/// The places where two values differ.
fn differences(path: &str, expected: &Value, found: &Value, paths: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                differences(&format!("{path}/{key}"), a, b, paths);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{at}"), a, b, paths);
            }
        }
        (expected, found) if expected != found => paths.push(format!("  {path}: {expected}, and {found} of the fake")),
        _ => {}
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var_os(variable)
        .map(|value| value.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{variable} is no number")))
}

#[test]
fn random_sequences_are_answered_alike() {
    let cases = number("CONFORMANCE_SEQUENCES").map_or(SEQUENCES, |number| number.try_into().unwrap());
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("CONFORMANCE_SEED").unwrap_or(0).to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner
        .run(&vec(operation(), 1..=LONGEST), |sequence| compare(&sequence).map_err(proptest::test_runner::TestCaseError::fail));
    match outcome {
        Ok(()) => println!("{cases} sequences"),
        Err(TestError::Fail(why, sequence)) => panic!("{why}\nin {sequence:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
