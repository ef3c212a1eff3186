//! What the process remembers about objects. Lost at a restart; correctness rests on the cluster alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt as _;

use super::credential::outfit::Outfit;
use super::seen::number;
use crate::api::RefreshableToken;
use crate::refresh::decide::{Memory, SeedView};
use crate::refresh::rollout::Tries;
use crate::token::Login;

/// What is remembered about one object. Boxes hold what there is only for some objects or some of the time: there may be ten thousand.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    pub(super) memory: Memory,
    /// The object as our last write left it, until the watch has shown it.
    pub(super) latest: Option<Box<RefreshableToken>>,
    /// The claim of another process, and since when this one sees it, on the clock that counts suspend.
    pub(super) watched: Option<Box<(String, Duration)>>,
    /// When a status was last written for which nothing had been done, on the clock that counts suspend.
    pub(super) restated: Option<Duration>,
    /// What connections to the token API are made with, and the resourceVersions of the Secrets that were shown then.
    pub(super) outfit: Option<Box<(Vec<Option<String>>, Outfit)>>,
    pub(super) login: Option<Box<(LoginVersions, Login)>>,
    /// The resourceVersion of what holds the certificate authorities, as it was read or looked at last.
    pub(super) bundle: Option<String>,
    /// Roll-outs that failed.
    pub(super) rollouts: Option<Box<Tries>>,
}

/// What a login was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoginVersions {
    /// The seed's resourceVersion.
    pub(super) seed: Option<String>,
    /// The resourceVersion of the client's Secret.
    pub(super) client: Option<String>,
}

impl Remembered {
    /// The object as our last write left it, if the watch has not caught up with it.
    pub(super) fn newer_than(&self, object: &RefreshableToken) -> Option<RefreshableToken> {
        let version = |object: &RefreshableToken| number(&object.resource_version().unwrap_or_default());
        let newer = self.latest.as_deref().filter(|latest| latest.uid() == object.uid() && version(latest) > version(object));
        newer.cloned()
    }
}

/// What is remembered about all objects.
#[derive(Debug, Default)]
pub(super) struct Memories {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<Box<str>, Box<Remembered>>,
    reported: HashMap<String, Option<i64>>,
    /// When the Secrets of an object were last asked for, on the clock that counts suspend.
    looked: HashMap<String, Duration>,
    adopting: HashSet<String>,
}

impl Memories {
    pub(super) fn recall(&self, uid: &str) -> Remembered {
        self.lock().objects.get(uid).map(|remembered| Remembered::clone(remembered)).unwrap_or_default()
    }

    pub(super) fn remember(&self, uid: &str, remembered: Remembered) {
        self.lock().objects.insert(uid.into(), Box::new(remembered));
    }

    /// Forgets all but the objects that exist.
    pub(super) fn keep(&self, exists: impl Fn(&str) -> bool) {
        let mut inner = self.lock();
        inner.objects.retain(|uid, _| exists(uid));
        inner.reported.retain(|uid, _| exists(uid));
        inner.looked.retain(|uid, _| exists(uid));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether this generation of an undecodable object was not reported yet.
    pub(super) fn first_report(&self, uid: &str, generation: Option<i64>) -> bool {
        self.lock().reported.insert(uid.to_owned(), generation) != Some(generation)
    }

    /// Whether the Secrets of an object were not asked for within `time` before `now`; from now on they were.
    pub(super) fn looks_again(&self, uid: &str, now: Duration, time: Duration) -> bool {
        let mut inner = self.lock();
        let due = inner.looked.get(uid).is_none_or(|looked| now.saturating_sub(*looked) >= time);
        if due {
            inner.looked.insert(uid.to_owned(), now);
        }
        due
    }

    /// Takes the resourceVersion that what holds an object's certificate authorities has now; whether it is another.
    pub(super) fn found_bundle(&self, uid: &str, version: Option<&str>) -> bool {
        let mut inner = self.lock();
        let Some(remembered) = inner.objects.get_mut(uid) else { return false };
        let changed = remembered.bundle.as_deref() != version;
        if changed {
            remembered.bundle = version.map(str::to_owned);
        }
        changed
    }

    /// Makes sure that one seed is adopted by one object at a time; none while another object is at it.
    pub(super) fn adopt_alone(&self, seed: &SeedView, uid: &str) -> Option<Adopting<'_>> {
        let key = match seed {
            SeedView::Read { seed, .. } => seed.fingerprint.to_string(),
            // Without a seed that was read nothing is adopted.
            SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => uid.to_owned(),
        };
        self.lock().adopting.insert(key.clone()).then(|| Adopting { memories: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to adopt a seed; given back on drop.
pub(super) struct Adopting<'a> {
    memories: &'a Memories,
    key: String,
}

impl Drop for Adopting<'_> {
    fn drop(&mut self) {
        self.memories.lock().adopting.remove(&self.key);
    }
}
