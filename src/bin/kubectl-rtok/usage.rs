//! Who uses a Secret, in which way, and whether that way shows a new value. Pure.
//!
//! What a Pod sees: a mounted Secret follows by the kubelet's sync (Kubernetes documentation, "Using Secrets as files from a Pod"); a
//! `subPath` and an environment variable never do; an image pull Secret is read at each pull.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, Pod, ServiceAccount, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use serde::Serialize;

/// A way in which a Pod uses a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Mounted as a folder.
    Volume,
    /// One file of it mounted by itself.
    SubPath,
    /// One key as an environment variable.
    Env,
    /// Every key as an environment variable.
    EnvFrom,
    /// For pulling its images.
    ImagePull,
    /// A volume that no container mounts.
    Unmounted,
}

impl Way {
    /// As in a manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::SubPath => "subPath",
            Self::Env => "env",
            Self::EnvFrom => "envFrom",
            Self::ImagePull => "imagePullSecrets",
            Self::Unmounted => "volume, not mounted",
        }
    }

    /// Whether the Pod sees a new value while it runs.
    pub fn follows(self) -> bool {
        matches!(self, Self::Volume | Self::ImagePull | Self::Unmounted)
    }

    /// When the Pod sees a new value.
    pub fn sight(self) -> &'static str {
        match self {
            Self::Volume => "yes, within about 90 s",
            Self::ImagePull => "yes, at the next pull",
            Self::SubPath | Self::Env | Self::EnvFrom => "never: it must be restarted",
            Self::Unmounted => "-",
        }
    }
}

/// One use of a Secret by a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The Secret.
    pub secret: String,
    /// What made the Pod, such as `Deployment/builder`; the Pod itself where nothing did.
    pub owner: String,
    /// The Pod.
    pub pod: String,
    /// How.
    pub way: Way,
    /// Where: the container, or the ServiceAccount that brings an image pull Secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// `spec.rollout` restarts what made the Pod when the Secret changes.
    pub restarted: bool,
}

impl Use {
    /// Whether a new value reaches the program without a person.
    pub fn follows(&self) -> bool {
        self.way.follows() || self.restarted
    }

    /// When the program sees a new value.
    pub fn sight(&self) -> &'static str {
        if !self.way.follows() && self.restarted { "after its restart by spec.rollout" } else { self.way.sight() }
    }
}

/// Every use of `secrets` by Pods that have not ended.
pub fn uses(secrets: &BTreeSet<&str>, pods: &[Pod], accounts: &[ServiceAccount], sets: &[ReplicaSet]) -> Vec<Use> {
    let owners: BTreeMap<String, String> =
        sets.iter().filter_map(|set| Some((set.name_any(), controller(set.owner_references())?))).collect();
    let mut found = BTreeSet::new();
    for pod in pods.iter().filter(|pod| runs(pod)) {
        let owner = owner(pod, &owners);
        for (secret, way, place) in of_pod(pod, accounts) {
            if secrets.contains(secret.as_str()) {
                found.insert(Use { secret, owner: owner.clone(), pod: pod.name_any(), way, place, restarted: false });
            }
        }
    }
    found.into_iter().collect()
}

/// A Pod that has ended reads nothing any more.
fn runs(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

fn controller(references: &[OwnerReference]) -> Option<String> {
    let reference = references.iter().find(|reference| reference.controller == Some(true)).or_else(|| references.first())?;
    Some(format!("{}/{}", reference.kind, reference.name))
}

/// What a person knows the Pod by: of a ReplicaSet, the Deployment behind it.
fn owner(pod: &Pod, sets: &BTreeMap<String, String>) -> String {
    let Some(direct) = controller(pod.owner_references()) else { return format!("Pod/{}", pod.name_any()) };
    let behind = direct.strip_prefix("ReplicaSet/").and_then(|name| sets.get(name));
    behind.cloned().unwrap_or(direct)
}

/// A container of any kind, as far as it uses Secrets.
struct Program<'a> {
    place: String,
    mounts: &'a [VolumeMount],
    env: &'a [EnvVar],
    env_from: &'a [EnvFromSource],
}

impl<'a> Program<'a> {
    fn of(container: &'a Container, kind: &str) -> Self {
        Self {
            place: format!("{kind}{}", container.name),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
            env: container.env.as_deref().unwrap_or_default(),
            env_from: container.env_from.as_deref().unwrap_or_default(),
        }
    }
}

/// Secrets that a Pod uses, with way and place.
fn of_pod(pod: &Pod, accounts: &[ServiceAccount]) -> Vec<(String, Way, String)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut found = Vec::new();
    let init = spec.init_containers.iter().flatten().map(|container| Program::of(container, "init container "));
    let all = init.chain(spec.containers.iter().map(|container| Program::of(container, "")));
    // Of a person who looks for a fault, such as `kubectl debug`.
    let debug = spec.ephemeral_containers.iter().flatten().map(|container| Program {
        place: format!("ephemeral container {}", container.name),
        mounts: container.volume_mounts.as_deref().unwrap_or_default(),
        env: container.env.as_deref().unwrap_or_default(),
        env_from: container.env_from.as_deref().unwrap_or_default(),
    });
    let programs: Vec<Program<'_>> = all.chain(debug).collect();
    for volume in spec.volumes.iter().flatten() {
        for secret in of_volume(volume) {
            let mut mounted = false;
            for program in &programs {
                for mount in program.mounts.iter().filter(|mount| mount.name == volume.name) {
                    let part = mount.sub_path.as_deref().or(mount.sub_path_expr.as_deref()).is_some_and(|path| !path.is_empty());
                    found.push((secret.clone(), if part { Way::SubPath } else { Way::Volume }, program.place.clone()));
                    mounted = true;
                }
            }
            if !mounted {
                found.push((secret, Way::Unmounted, String::new()));
            }
        }
    }
    for program in &programs {
        found.extend(of_environment(program).map(|(secret, way)| (secret, way, program.place.clone())));
    }
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let brought: BTreeSet<&str> = accounts
        .iter()
        .filter(|known| known.name_any() == account)
        .flat_map(|known| known.image_pull_secrets.iter().flatten().map(|reference| reference.name.as_str()))
        .collect();
    for reference in spec.image_pull_secrets.iter().flatten() {
        let place = if brought.contains(reference.name.as_str()) { format!("ServiceAccount {account}") } else { String::new() };
        found.push((reference.name.clone(), Way::ImagePull, place));
    }
    found
}

fn of_volume(volume: &Volume) -> Vec<String> {
    let whole = volume.secret.iter().filter_map(|source| source.secret_name.clone());
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    whole.chain(projected.filter_map(|source| Some(source.secret.as_ref()?.name.clone()))).collect()
}

fn of_environment(program: &Program<'_>) -> impl Iterator<Item = (String, Way)> {
    let single = program.env.iter().filter_map(|variable| {
        let reference = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some((reference.name.clone(), Way::Env))
    });
    let whole = program.env_from.iter().filter_map(|source| Some((source.secret_ref.as_ref()?.name.clone(), Way::EnvFrom)));
    single.chain(whole)
}

/// Uses by owner and way, for one line: `Deployment/builder (volume, 3 Pods)`.
pub fn summary(uses: &[&Use]) -> String {
    let mut groups: BTreeMap<(&str, Way, bool), BTreeSet<&str>> = BTreeMap::new();
    for one in uses {
        groups.entry((&one.owner, one.way, one.restarted)).or_default().insert(&one.pod);
    }
    let group = |((owner, way, restarted), pods): ((&str, Way, bool), BTreeSet<&str>)| {
        let many = if pods.len() > 1 { format!(", {} Pods", pods.len()) } else { String::new() };
        let stale = match (way.follows(), restarted) {
            (true, _) => "",
            (false, true) => ": restarted by spec.rollout",
            (false, false) => ": sees no new value",
        };
        format!("{owner} ({}{many}{stale})", way.word())
    };
    let all: Vec<String> = groups.into_iter().map(group).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, owner: Option<(&str, &str)>, spec: &Value) -> Pod {
        let owners: Vec<Value> = owner
            .into_iter()
            .map(|(kind, name)| json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners}, "spec": spec})).unwrap()
    }

    fn of(secret: &str, pods: &[Pod]) -> Vec<(String, Way, String)> {
        let found = uses(&BTreeSet::from([secret]), pods, &[], &[]);
        found.into_iter().map(|one| (one.pod, one.way, one.place)).collect()
    }

    fn one(way: Way, place: &str) -> Vec<(String, Way, String)> {
        vec![("p".to_owned(), way, place.to_owned())]
    }

    #[test]
    fn each_way_is_found_and_only_for_its_secret() {
        let mounted = |mount: Value| {
            pod(
                "p",
                None,
                &json!({
                    "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "secret": {"secretName": "other"}}],
                    "containers": [{"name": "c", "volumeMounts": [mount]}],
                }),
            )
        };
        assert_eq!(of("s", &[mounted(json!({"name": "v", "mountPath": "/s"}))]), one(Way::Volume, "c"));
        assert_eq!(of("s", &[mounted(json!({"name": "v", "mountPath": "/s", "subPath": "token"}))]), one(Way::SubPath, "c"));
        assert_eq!(of("s", &[mounted(json!({"name": "v", "mountPath": "/s", "subPathExpr": "$(A)"}))]), one(Way::SubPath, "c"));
        assert_eq!(of("s", &[mounted(json!({"name": "w", "mountPath": "/w"}))]), one(Way::Unmounted, ""));
        let projected = pod(
            "p",
            None,
            &json!({
                "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "s"}}, {"secret": {"name": "s"}}]}}],
                "containers": [], "initContainers": [{"name": "i", "volumeMounts": [{"name": "v", "mountPath": "/s"}]}],
            }),
        );
        assert_eq!(of("s", &[projected]), one(Way::Volume, "init container i"));
        let env = |container: Value| pod("p", None, &json!({"containers": [container]}));
        let single = json!({"name": "c", "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "U", "value": "s"}]});
        assert_eq!(of("s", &[env(single)]), one(Way::Env, "c"));
        assert_eq!(of("s", &[env(json!({"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}))]), one(Way::EnvFrom, "c"));
        assert!(of("s", &[env(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "s"}}]}))]).is_empty());
        let debug = json!({"containers": [], "ephemeralContainers": [{"name": "d", "envFrom": [{"secretRef": {"name": "s"}}]}]});
        assert_eq!(of("s", &[pod("p", None, &debug)]), one(Way::EnvFrom, "ephemeral container d"));
    }

    #[test]
    fn an_image_pull_secret_names_the_service_account_that_brings_it() {
        let spec = json!({"containers": [], "serviceAccountName": "builder", "imagePullSecrets": [{"name": "s"}, {"name": "t"}]});
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "builder"}, "imagePullSecrets": [{"name": "s"}]})).unwrap();
        let found = uses(&BTreeSet::from(["s", "t"]), &[pod("p", None, &spec)], &[account], &[]);
        let places: Vec<_> = found.iter().map(|one| (one.secret.as_str(), one.way, one.place.as_str())).collect();
        assert_eq!(places, [("s", Way::ImagePull, "ServiceAccount builder"), ("t", Way::ImagePull, "")]);
    }

    #[test]
    fn pods_go_by_the_deployment_behind_their_replica_set() {
        let spec = json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]});
        let set: ReplicaSet = serde_json::from_value(json!({"metadata": {"name": "web-5d", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true}]}}))
        .unwrap();
        let mut ended = pod("web-0", Some(("ReplicaSet", "web-5d")), &spec);
        ended.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
        let pods = [
            pod("web-1", Some(("ReplicaSet", "web-5d")), &spec),
            pod("web-2", Some(("ReplicaSet", "web-5d")), &spec),
            pod("db-0", Some(("StatefulSet", "db")), &spec),
            ended,
        ];
        let found = uses(&BTreeSet::from(["s"]), &pods, &[], std::slice::from_ref(&set));
        let all: Vec<_> = found.iter().collect();
        assert_eq!(
            summary(&all),
            "Deployment/web (envFrom, 2 Pods: sees no new value), StatefulSet/db (envFrom: sees no new value)"
        );
        let mut rolled = found.clone();
        for one in &mut rolled {
            one.restarted = one.owner == "StatefulSet/db";
        }
        assert!(summary(&rolled.iter().collect::<Vec<_>>()).ends_with("StatefulSet/db (envFrom: restarted by spec.rollout)"));
        assert_eq!(rolled.iter().filter(|one| one.follows()).count(), 1, "{rolled:?}");
        let without = uses(&BTreeSet::from(["s"]), &pods, &[], &[]);
        assert!(without.iter().any(|one| one.owner == "ReplicaSet/web-5d"), "ReplicaSets may not be readable");
        assert_eq!(summary(&[]), "nobody");
    }
}
