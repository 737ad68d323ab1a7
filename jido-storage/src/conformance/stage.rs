//! Where the storages of a run come from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::fixture::World;
use crate::Storage;

type Opening<'s> = Pin<Box<dyn Future<Output = Arc<dyn Storage>> + 's>>;

enum Source<'s> {
    Fresh(Box<dyn Fn() -> Opening<'s> + 's>),
    Placed {
        place: Box<dyn Fn() -> String + 's>,
        open: Box<dyn Fn(String) -> Opening<'s> + 's>,
    },
}

/// Opens storages, and knows how this program is started once more.
pub(super) struct Stage<'s> {
    source: Source<'s>,
    child_test: Option<String>,
}

impl<'s> Stage<'s> {
    pub(super) fn fresh_from<F, S>(factory: F) -> Self
    where
        F: Fn() -> S + 's,
        S: Future<Output = Arc<dyn Storage>> + 's,
    {
        Self {
            source: Source::Fresh(Box::new(move || Box::pin(factory()))),
            child_test: None,
        }
    }

    pub(super) fn placed<P, F, S>(place: P, open: F) -> Self
    where
        P: Fn() -> String + 's,
        F: Fn(String) -> S + 's,
        S: Future<Output = Arc<dyn Storage>> + 's,
    {
        Self {
            source: Source::Placed {
                place: Box::new(place),
                open: Box::new(move |place| Box::pin(open(place))),
            },
            child_test: None,
        }
    }

    pub(super) fn set_child_test(&mut self, test: String) {
        self.child_test = Some(test);
    }

    pub(super) fn child_test(&self) -> Option<&str> {
        self.child_test.as_deref()
    }

    pub(super) fn reopens(&self) -> bool {
        matches!(self.source, Source::Placed { .. })
    }

    /// An empty storage.
    pub(super) async fn fresh(&self) -> World {
        World::new(match &self.source {
            Source::Fresh(factory) => factory().await,
            Source::Placed { place, open } => open(place()).await,
        })
    }

    /// A place where nothing is yet.
    pub(super) fn place(&self) -> String {
        match &self.source {
            Source::Placed { place, .. } => place(),
            Source::Fresh(_) => {
                panic!("a case asks for a place and does not say that it needs one")
            }
        }
    }

    /// Opens what is at a place.
    pub(super) async fn open(&self, place: &str) -> World {
        match &self.source {
            Source::Placed { open, .. } => World::new(open(place.to_owned()).await),
            Source::Fresh(_) => panic!("a case opens a place and does not say that it needs one"),
        }
    }
}
