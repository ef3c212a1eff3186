//! What watches of the API server show, and what becomes of their troubles.

use kube::runtime::watcher;

use crate::failure::{Failure, Kind};
use crate::output::tell;
use crate::refusal::explain;

/// What a watch has shown since a page was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The first list has come.
    pub begun: bool,
    /// Something that is shown may have changed.
    pub changed: bool,
    /// The trouble with the watch, told once while it lasts.
    pub told: bool,
}

impl Due {
    /// Takes in what the watch shows. A list that it began anew with may hold any change.
    pub fn take<K>(&mut self, change: watcher::Result<watcher::Event<K>>, shows: impl FnOnce(&K) -> bool) -> Result<(), Failure> {
        match change {
            Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => self.changed |= shows(&object),
            Ok(watcher::Event::InitDone) => *self = Self { begun: true, changed: true, told: false },
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Err(error) => self.trouble(&failure(&error))?,
        }
        Ok(())
    }

    /// What passes is told once, and the watch begins anew by itself; what does not ends it, as all does at the beginning.
    pub fn trouble(&mut self, failure: &Failure) -> Result<(), Failure> {
        if !self.begun || !failure.passes() {
            return Err(failure.clone());
        }
        if !std::mem::replace(&mut self.told, true) {
            tell(&format!("{}; it is tried again", failure.message));
        }
        Ok(())
    }
}

fn failure(error: &watcher::Error) -> Failure {
    let what = "the watch";
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => explain(what, error),
        // Such as 410 Gone, after which it begins anew.
        watcher::Error::WatchError(status) => Failure { kind: Kind::Busy, message: format!("{what}: {}", status.message) },
        watcher::Error::NoResourceVersion => Failure::refused(format!("{what}: the API server gives no resourceVersion")),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status as Answer;

    use super::*;

    type Change = watcher::Result<watcher::Event<&'static str>>;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Answer { code, message: "said".to_owned(), ..Answer::default() }))
    }

    fn take(due: &mut Due, change: Change) -> Result<(), Failure> {
        due.take(change, |name| *name == "ci")
    }

    #[test]
    fn each_change_of_what_is_shown_is_due_and_so_is_a_new_list() {
        for (change, changed) in [
            (watcher::Event::Apply("ci"), true),
            (watcher::Event::Delete("ci"), true),
            (watcher::Event::Apply("other"), false),
            (watcher::Event::Init, false),
            (watcher::Event::InitApply("ci"), false),
            (watcher::Event::InitDone, true),
        ] {
            let mut due = Due::default();
            let said = format!("{change:?}");
            take(&mut due, Ok(change)).unwrap();
            assert_eq!(due.changed, changed, "{said}");
        }
    }

    #[test]
    fn a_watch_that_is_forbidden_ends_and_one_that_breaks_is_told_once() {
        let mut due = Due { begun: true, ..Due::default() };
        let forbidden = take(&mut due, Err(watcher::Error::WatchStartFailed(api(403)))).unwrap_err();
        assert_eq!((forbidden.kind, forbidden.message.as_str()), (Kind::Forbidden, "the watch: said"));
        for broken in [watcher::Error::InitialListFailed(api(503)), watcher::Error::WatchFailed(api(429))] {
            take(&mut due, Err(broken)).unwrap();
            assert_eq!(due, Due { begun: true, changed: false, told: true });
        }
        take(&mut due, Ok(watcher::Event::InitDone)).unwrap();
        assert_eq!(due, Due { begun: true, changed: true, told: false }, "it works again");
        let first = take(&mut Due::default(), Err(watcher::Error::InitialListFailed(api(503))));
        assert!(first.is_err(), "nobody waits for a page that may never come");
    }
}
