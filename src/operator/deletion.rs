//! What the deletion policy of an object asks for: a finalizer while the object lives, and the end of its chain when it goes.
//!
//! A deletion is never wedged by what it does itself: what cannot be done within a minute is given up, and an event says so. It waits
//! for one thing only: an answer of this process that neither the state Secret nor escrow takes (see `unwritten`).

mod end;

use std::ops::ControlFlow;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::runtime::controller::Action;

use super::Context;
use super::cluster::Trouble;
use super::shards::Hold;
use crate::api::{CLEANUP_FINALIZER, DeletionPolicy, Reason, RefreshableToken};
use crate::refresh::conclude::Note;

use end::End;

/// Pause before an object is looked at again whose finalizer could not be written.
const LATER: Duration = Duration::from_secs(5);

/// Looks after the finalizer, and after the chain of an object that is being deleted. `Break` is all there is to do for now.
pub(super) async fn attend(context: &Context, shard: &Hold, object: &mut RefreshableToken) -> ControlFlow<Action> {
    let held = is_held(&object.metadata);
    let wanted = object.spec.deletion_policy() != DeletionPolicy::Retain;
    if object.metadata.deletion_timestamp.is_some() {
        if held {
            return ControlFlow::Break(clean_up(context, shard, object).await);
        }
    } else if held != wanted {
        match context.cluster.set_finalizers(&object.metadata, &finalizers(&object.metadata, wanted)).await {
            Ok(metadata) => object.metadata = metadata,
            Err(trouble) => return unset(context, object, wanted, trouble).await,
        }
    }
    ControlFlow::Continue(())
}

/// The finalizer could not be written. A chain that runs goes on without; none is begun.
async fn unset(context: &Context, object: &RefreshableToken, wanted: bool, trouble: Trouble) -> ControlFlow<Action> {
    if trouble == Trouble::Denied {
        let message = "the finalizer of the deletion policy cannot be set or taken away: allow the operator to patch RefreshableToken objects";
        tell(context, object, true, Reason::CleanupFailed, message.to_owned()).await;
        let begun = object.status.as_ref().is_some_and(|status| status.seed.is_some() || status.chain_generation.is_some());
        if begun || !wanted {
            return ControlFlow::Continue(());
        }
    }
    ControlFlow::Break(Action::requeue(LATER))
}

/// An object that does not decode and is being deleted: its policy cannot be read, so that nothing is done but let it go.
/// Whether it was such an object.
pub(super) async fn let_go(context: &Context, metadata: &ObjectMeta, reference: &ObjectReference) -> bool {
    if metadata.deletion_timestamp.is_none() || !is_held(metadata) {
        return false;
    }
    let message = "the deletion policy of an object that does not fit the schema cannot be read: its state Secret is kept and its tokens stay valid";
    let note = Note { warning: true, reason: Reason::CleanupFailed, message: message.to_owned() };
    tracing::warn!(reason = note.reason.as_str(), message);
    context.cluster.publish_event(reference, &note).await;
    if let Err(trouble) = context.cluster.set_finalizers(metadata, &finalizers(metadata, false)).await {
        tracing::warn!(?trouble, "the finalizer could not be taken away");
    }
    true
}

fn is_held(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|name| name == CLEANUP_FINALIZER)
}

fn finalizers(metadata: &ObjectMeta, held: bool) -> Vec<String> {
    let others = metadata.finalizers.iter().flatten().filter(|name| *name != CLEANUP_FINALIZER).cloned();
    others.chain(held.then(|| CLEANUP_FINALIZER.to_owned())).collect()
}

/// Does what the policy asks for, then lets the object go. An operator that stops leaves it to the next one.
async fn clean_up(context: &Context, shard: &Hold, object: &RefreshableToken) -> Action {
    if object.spec.deletion_policy() != DeletionPolicy::Retain {
        let end = End::new(context, object);
        if shard.over.run_until_cancelled(end.run()).await.is_none() {
            return Action::await_change();
        }
    }
    match context.cluster.set_finalizers(&object.metadata, &finalizers(&object.metadata, false)).await {
        Ok(_) | Err(Trouble::Missing) => Action::await_change(),
        Err(_) => Action::requeue(LATER),
    }
}

async fn tell(context: &Context, object: &RefreshableToken, warning: bool, reason: Reason, message: String) {
    if warning {
        tracing::warn!(reason = reason.as_str(), message);
    } else {
        tracing::info!(reason = reason.as_str(), message);
    }
    context.cluster.publish_event(&object.object_ref(&()), &Note { warning, reason, message }).await;
}
