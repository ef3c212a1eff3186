//! Output Secrets: whose one is, and the requests about it.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;
use kube::api::{Patch, PatchParams};

use super::{Cluster, Owner, Trouble, bounded, bytes, labels, named};
use crate::api::{
    CONTENT_HASH_ANNOTATION, CreationPolicy, OUTPUT_MANAGER, OutputMetadata, OutputSpec, RefreshableToken,
    RefreshableTokenStatus, WRITER_ANNOTATION,
};
use crate::operator::metrics::SecretWrite;
use crate::operator::seen::SeenSecret;
use crate::refresh::decide::OutputView;
use crate::refresh::exchange::{OutputAction, OutputAnswer, SeenOutput};
use crate::refresh::output::Rendered;

/// Keys that a state or an escrow Secret has: no label has to tell.
const KEPT: [&str; 2] = ["state.json", "entry.json"];

impl Cluster {
    /// One request about an output Secret. With the answer comes the Secret's metadata, where it was shown.
    pub async fn output(
        &self,
        owner: &Owner,
        action: OutputAction,
        last: Option<&SeenOutput>,
        rendered: &Rendered,
    ) -> (OutputAnswer, Option<ObjectMeta>) {
        if named(&rendered.name).is_err() {
            return (OutputAnswer::Denied, None);
        }
        let api = self.secrets(&owner.namespace);
        let name = rendered.name.as_str();
        let body = output_secret(owner, rendered, last.map(|last| last.uid.as_str()));
        let create = |dry_run| self.write_whole(&owner.namespace, name, &body, false, dry_run);
        let params = |dry_run, force| PatchParams {
            dry_run,
            force,
            field_manager: Some(OUTPUT_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let apply = async |dry_run| Ok(api.patch_metadata(name, &params(dry_run, true), &Patch::Apply(&body)).await?.metadata);
        let done = |metadata| (OutputAnswer::Done, Some(metadata));
        let answer = match action {
            OutputAction::Read => bounded(api.get(name)).await.map(|secret| {
                let seen = as_output(SeenSecret::of(&secret.metadata), rendered.policy, owner);
                let immutable = secret.immutable.unwrap_or(false);
                (OutputAnswer::Found(SeenOutput { type_: secret.type_, immutable, ..seen }), Some(secret.metadata))
            }),
            OutputAction::TryCreate => create(true).await.map(|_| (OutputAnswer::Done, None)),
            OutputAction::TryApply => bounded(apply(true)).await.map(|_| (OutputAnswer::Done, None)),
            OutputAction::Create => create(false).await.map(done),
            OutputAction::Apply => self.written(SecretWrite::Apply, apply(false)).await.map(done),
            OutputAction::Prune => {
                let Some(last) = last else { return (OutputAnswer::Conflict, None) };
                let patch: Patch<()> = Patch::Json(prune(last, rendered, owner));
                let prune = async { Ok(api.patch_metadata(name, &params(false, false), &patch).await?.metadata) };
                self.written(SecretWrite::Patch, prune).await.map(done)
            }
        };
        answer.unwrap_or_else(|trouble| (trouble.into(), None))
    }
}

impl From<Trouble> for OutputAnswer {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Missing => Self::Missing,
            Trouble::Conflict => Self::Conflict,
            Trouble::Denied => Self::Denied,
            Trouble::Unclear => Self::Unclear,
        }
    }
}

/// The role that the label of an output Secret names. Not `output` for one of somebody else's: the chart's admission policy keeps
/// that label from being taken away, and its owner may write it as he likes.
#[must_use]
pub fn role(policy: CreationPolicy) -> &'static str {
    match policy {
        CreationPolicy::Owner | CreationPolicy::Orphan => "output",
        CreationPolicy::Merge => "merged",
    }
}

/// What a decision needs to know of an output Secret that was seen; none where its label says that it is none of this kind.
/// `status` tells its type, which metadata does not show.
#[must_use]
pub fn output_view(seen: SeenSecret, output: &OutputSpec, status: &RefreshableTokenStatus, owner: &Owner) -> Option<OutputView> {
    let policy = output.creation_policy();
    let content_hash = seen.content_hash.clone();
    let type_ = status.outputs.iter().find(|written| written.secret_name == output.secret_name).map(|w| w.type_.clone());
    let fits = seen.role == role(policy);
    fits.then(|| OutputView { seen: SeenOutput { type_, ..as_output(seen, policy, owner) }, content_hash })
}

/// What an exchange needs to know of an output Secret that was seen; its type aside.
fn as_output(secret: SeenSecret, policy: CreationPolicy, owner: &Owner) -> SeenOutput {
    SeenOutput {
        owned: may_write(&secret, policy, owner),
        reference: secret.owners.iter().position(|uid| *uid == owner.uid),
        uid: secret.uid,
        type_: None,
        immutable: secret.immutable,
        keys: secret.keys,
        labels: secret.labels,
        annotations: secret.annotations,
    }
}

/// Whether the object may write this Secret.
///
/// Its own: the Secret refers to the object as its owner, or bears our mark that an object of this name writes it without owning
/// it. Somebody else's, with `Merge`: whatever no object of ours writes or keeps tokens in, other than this one.
fn may_write(secret: &SeenSecret, policy: CreationPolicy, owner: &Owner) -> bool {
    let writer = secret.writer.as_ref();
    let ours = writer == Some(&owner.name);
    let of_role = secret.role.is_empty() || secret.role == role(policy);
    match policy {
        CreationPolicy::Owner | CreationPolicy::Orphan => secret.owners.contains(&owner.uid) || ours && of_role,
        CreationPolicy::Merge => {
            let kept = secret.keys.iter().any(|key| KEPT.contains(&key.as_str()));
            of_role && (ours || writer.is_none()) && !secret.owned_by_us && !kept
        }
    }
}

/// An output Secret, on the UID last seen if there was one.
fn output_secret(owner: &Owner, rendered: &Rendered, uid: Option<&str>) -> Secret {
    let OutputMetadata { labels: mut all_labels, mut annotations } = rendered.metadata.clone();
    all_labels.extend(labels(role(rendered.policy), &owner.name));
    annotations.insert(CONTENT_HASH_ANNOTATION.to_owned(), rendered.content_hash.to_string());
    let belongs = rendered.policy == CreationPolicy::Owner;
    if !belongs {
        annotations.insert(WRITER_ANNOTATION.to_owned(), owner.name.clone());
    }
    let metadata = ObjectMeta {
        name: Some(rendered.name.clone()),
        namespace: Some(owner.namespace.clone()),
        uid: uid.map(str::to_owned),
        labels: Some(all_labels),
        annotations: Some(annotations),
        owner_references: belongs.then(|| vec![reference(owner)]),
        ..ObjectMeta::default()
    };
    // The type of somebody else's Secret is the owner's to say.
    let type_ = (rendered.policy != CreationPolicy::Merge).then(|| rendered.type_.to_owned());
    Secret { metadata, type_, data: Some(bytes(rendered.data.clone())), ..Secret::default() }
}

fn reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: RefreshableToken::api_version(&()).into_owned(),
        kind: RefreshableToken::kind(&()).into_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Removes what we manage and no longer want, if the Secret is still the one that was seen.
fn prune(last: &SeenOutput, rendered: &Rendered, owner: &Owner) -> json_patch::Patch {
    let test = |path: &[&str], value: &str| {
        PatchOperation::Test(TestOperation { path: PointerBuf::from_tokens(path.iter().copied()), value: value.into() })
    };
    let remove = |path: &[&str]| PatchOperation::Remove(RemoveOperation { path: PointerBuf::from_tokens(path.iter().copied()) });
    let mut patch = vec![test(&["metadata", "uid"], &last.uid)];
    patch.extend(last.surplus_keys(rendered).map(|key| remove(&["data", key])));
    patch.extend(last.surplus_labels(rendered).map(|name| remove(&["metadata", "labels", name])));
    patch.extend(last.surplus_annotations(rendered).map(|name| remove(&["metadata", "annotations", name])));
    if let Some(index) = last.reference.filter(|_| rendered.policy == CreationPolicy::Orphan) {
        let index = index.to_string();
        patch.push(test(&["metadata", "ownerReferences", &index, "uid"], &owner.uid));
        patch.push(remove(&["metadata", "ownerReferences", &index]));
        // At no time without a word about whose it is.
        let writer = PointerBuf::from_tokens(["metadata", "annotations", WRITER_ANNOTATION]);
        patch.push(PatchOperation::Add(AddOperation { path: writer, value: owner.name.clone().into() }));
    }
    json_patch::Patch(patch)
}
