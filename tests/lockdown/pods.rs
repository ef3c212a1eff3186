//! Pod Security `restricted` admits the Pods, as the API server judges.

use serde_json::{Value, json};

use crate::installed::Installed;
use crate::world::{LOOPBACK, World, run};

async fn admitted(world: &World, spec: &Value) -> Result<(), String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": "restricted"}, "spec": spec});
    let create = ["create", "--dry-run=server", "-f", "-"];
    let answer = world.plane.kubectl(&create, Some(&pod.to_string())).await.unwrap();
    if answer.status.success() { Ok(()) } else { Err(answer.stderr) }
}

#[test]
fn restricted_namespaces_admit_the_operator_and_its_check() {
    run(async {
        let world = World::new(&[]).await;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}}});
        world.kubectl(&["apply", "-f", "-"], Some(&namespace.to_string())).await;
        let installed = Installed::new(&world.plane, "rto", "refreshable-token-system", LOOPBACK).await.unwrap();
        let spec = installed.pod()["spec"].clone();
        admitted(&world, &spec).await.unwrap();
        let claim = format!("{LOOPBACK}crds: {{enabled: false}}\njournal: {{type: persistentVolumeClaim}}\n");
        let claim = Installed::new(&world.plane, "claim", "claims", &claim).await.unwrap();
        // Without its volume, which the StatefulSet's controller would add.
        let mut with_claim = claim.pod()["spec"].clone();
        let volume = json!({"name": "journal", "persistentVolumeClaim": {"claimName": "journal-claim-0"}});
        with_claim["volumes"].as_array_mut().unwrap().push(volume);
        admitted(&world, &with_claim).await.unwrap();
        // The hook is no object of the release: Helm renders it.
        let chart = crate::installed::chart();
        let arguments = ["template", "x", chart.to_str().unwrap(), "--show-only", "templates/tests/check.yaml"];
        let rendered = crate::installed::helm(None, &arguments).await.unwrap();
        let check: Value = serde_saphyr::from_str(&rendered).unwrap();
        admitted(&world, &check["spec"]).await.unwrap();
        // And it does judge.
        let mut loose = spec;
        loose["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let why = admitted(&world, &loose).await.unwrap_err();
        assert!(why.contains("PodSecurity") && why.contains("allowPrivilegeEscalation"), "{why}");
    });
}
