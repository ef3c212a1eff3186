//! Says on an object that the answer of its token API can be written nowhere, for as long as that lasts. The exchange does not wait
//! for it.

use std::sync::Arc;
use std::time::Duration;

use kube::{Resource as _, ResourceExt as _};
use tokio::time::sleep;

use super::Context;
use super::cluster::{Trouble, is_owned_by};
use crate::api::RefreshableToken;
use crate::refresh::conclude::conclude_unwritten;

/// Pause between two looks. Our choice: longer than the pause between two tries of a commit, so that an API server that answers
/// twice has refused what was tried in between. One that was away is no reason to call anybody.
const LOOK: Duration = Duration::from_secs(15);

/// Looks at the object until it is dropped. `marked` is the object as the exchange left it: once somebody has written more about
/// the chain than stands there, the exchange is over, or another replica's.
pub(super) async fn tell(context: Arc<Context>, marked: RefreshableToken) {
    let (namespace, name, uid) = (marked.namespace().unwrap_or_default(), marked.name_any(), marked.uid().unwrap_or_default());
    let chain = marked.status.unwrap_or_default();
    let mut answered = false;
    loop {
        match context.cluster.object(&namespace, &name).await {
            Ok(object) => {
                let same = object.status.as_ref().is_some_and(|live| live.same_chain(&chain));
                if !same || !is_owned_by(&object, &uid) {
                    return;
                }
                if answered {
                    say(&context, object).await;
                }
                answered = true;
            }
            Err(Trouble::Missing) => return,
            Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => answered = false,
        }
        sleep(LOOK).await;
    }
}

async fn say(context: &Context, mut object: RefreshableToken) {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let before = object.status.clone().unwrap_or_default();
    let deleting = object.metadata.deletion_timestamp.is_some();
    let state_secret = object.spec.state_secret_name(&name);
    let now = context.clock.now();
    let (status, note) = conclude_unwritten(&before, object.metadata.generation, &state_secret, deleting, now);
    if status == before {
        return;
    }
    object.status = Some(status);
    if context.cluster.put_status(&namespace, &object).await.is_ok() {
        tracing::warn!(reason = note.reason.as_str(), message = note.message);
        context.cluster.publish_event(&object.object_ref(&()), &note).await;
    }
}
