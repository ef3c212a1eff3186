//! Whether each Secret of a token is there, labelled, and whose it should be. Only metadata is read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use refreshable_token_operator::api::{OutputSpec, ROLE_LABEL, RefreshableToken};

use super::{Finding, Grade, finding};
use crate::cluster::Reach;
use crate::failure::Kind;
use crate::situation::Sighting;
use crate::targets::place;

/// Whether each Secret is there, labelled, and whose it should be. Only metadata is read.
pub(super) async fn of_secrets(reach: &Reach, object: &RefreshableToken) -> Vec<Finding> {
    let namespace = object.namespace().unwrap_or_default();
    let seed = &object.spec.credential.seed_secret_ref.name;
    let state = object.spec.state_secret_name(&object.name_any());
    let seed_metadata = match reach.secret_metadata(&namespace, seed).await {
        Ok(metadata) => metadata,
        Err(failure) => {
            let why = if failure.kind == Kind::Forbidden { "may not be read here".to_owned() } else { failure.message };
            return vec![finding(Grade::Warning, place(object), format!("its Secrets were not looked at: {why}"))];
        }
    };
    let mut found: Vec<Finding> = of_seed(object, seed_metadata.as_ref()).into_iter().collect();
    let begun = object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) > 0;
    if let (true, Ok(None)) = (begun, reach.secret_metadata(&namespace, &state).await) {
        let what = format!("the state Secret {state} is gone: restore it, or kubectl rtok reseed {}", object.name_any());
        found.push(finding(Grade::Failed, place(object), what));
    }
    for output in &object.spec.outputs {
        if let Ok(metadata) = reach.secret_metadata(&namespace, &output.secret_name).await {
            found.extend(of_output(object, output, metadata.as_ref(), begun));
        }
    }
    found
}

fn of_seed(object: &RefreshableToken, metadata: Option<&ObjectMeta>) -> Option<Finding> {
    let name = &object.spec.credential.seed_secret_ref.name;
    let begun = object.status.as_ref().is_some_and(|status| status.seed.is_some());
    let grade = if begun { Grade::Warning } else { Grade::Failed };
    let Some(metadata) = metadata else {
        // A chain that runs needs no seed.
        let what = format!("the seed Secret {name} does not exist: kubectl rtok reseed {}", object.name_any());
        return (!begun).then(|| finding(grade, place(object), what));
    };
    let role = metadata.labels.as_ref().and_then(|labels| labels.get(ROLE_LABEL)).map(String::as_str);
    let what = format!(
        "the seed Secret {name} is not labelled, so that it cannot be read: kubectl label secret {name} {ROLE_LABEL}=seed"
    );
    (role != Some("seed")).then(|| finding(grade, place(object), what))
}

fn of_output(object: &RefreshableToken, output: &OutputSpec, metadata: Option<&ObjectMeta>, begun: bool) -> Option<Finding> {
    let name = &output.secret_name;
    let Some(metadata) = metadata else {
        let missing = begun && !object.spec.suspended();
        return missing.then(|| finding(Grade::Failed, place(object), format!("the output Secret {name} is not there")));
    };
    let sighting = Sighting::of(object, output, metadata);
    if !sighting.ours {
        let owner = metadata.owner_references.iter().flatten().next();
        let whose = owner.map_or_else(|| "somebody else".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
        let what =
            format!("the output Secret {name} belongs to {whose} and is not touched: delete it, or choose another secretName");
        return Some(finding(Grade::Failed, place(object), what));
    }
    let what = format!("the output Secret {name} was made immutable: delete it, and it is written anew");
    sighting.immutable.then(|| finding(Grade::Failed, place(object), what))
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::{CreationPolicy, WRITER_ANNOTATION};
    use serde_json::json;

    use super::super::tests::object;
    use super::*;

    #[test]
    fn secrets_are_judged_by_label_and_owner() {
        let object = object(1, "");
        let metadata = |value: serde_json::Value| serde_json::from_value::<ObjectMeta>(value).unwrap();
        assert_eq!(of_seed(&object, Some(&metadata(json!({"labels": {ROLE_LABEL: "seed"}})))), None);
        assert_eq!(of_seed(&object, Some(&metadata(json!({})))).unwrap().grade, Grade::Warning, "the chain runs without it");
        assert_eq!(of_seed(&object, None), None);
        let mut fresh = object.clone();
        fresh.status = None;
        assert_eq!(of_seed(&fresh, None).unwrap().grade, Grade::Failed);
        let owned = |uid: &str, more: serde_json::Value| {
            metadata(json!({"namespace": "build", "name": "ci-token", "managedFields": more, "labels": {ROLE_LABEL: "output"},
                            "ownerReferences": [{"apiVersion": "v1", "kind": "ExternalSecret", "name": "x", "uid": uid}]}))
        };
        let of_output = |secret: Option<&ObjectMeta>, begun| super::of_output(&object, &object.spec.outputs[0], secret, begun);
        assert_eq!(of_output(Some(&owned("u", json!([]))), true), None);
        let foreign = of_output(Some(&owned("other", json!([]))), true).unwrap();
        assert!(foreign.what.contains("belongs to ExternalSecret x"), "{foreign:?}");
        let fields = json!([{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:immutable": {}}}]);
        assert!(of_output(Some(&owned("u", fields)), true).unwrap().what.contains("immutable"));
        assert!(of_output(None, true).is_some() && of_output(None, false).is_none());
    }

    #[test]
    fn outputs_without_owner_reference_are_known_by_their_writer() {
        let mut object = object(1, "");
        let metadata = |role: &str, writer: &str| {
            let labels = if role.is_empty() { json!({}) } else { json!({ ROLE_LABEL: role }) };
            let annotations = if writer.is_empty() { json!({}) } else { json!({ WRITER_ANNOTATION: writer }) };
            let metadata = json!({"namespace": "build", "name": "ci-token", "labels": labels, "annotations": annotations});
            serde_json::from_value::<ObjectMeta>(metadata).unwrap()
        };
        let good = |object: &RefreshableToken, role: &str, writer: &str| {
            super::of_output(object, &object.spec.outputs[0], Some(&metadata(role, writer)), true).is_none()
        };
        object.spec.outputs[0].creation_policy = Some(CreationPolicy::Orphan);
        assert!(good(&object, "output", "ci") && !good(&object, "output", "other") && !good(&object, "", ""));
        object.spec.outputs[0].creation_policy = Some(CreationPolicy::Merge);
        assert!(good(&object, "merged", "ci") && good(&object, "", "") && !good(&object, "merged", "other"));
        assert!(!good(&object, "output", "ci"), "a Secret that an object owns is not merged into");
    }
}
