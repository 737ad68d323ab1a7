//! What an append has to do: each part costs something also where it has nothing to do.

use crate::Commit;

/// What of agents' records an append writes, each with all that stands before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Record {
    /// How often it was changed, and when.
    #[default]
    Counted,
    /// Its checkpoint, and what is forgotten of requests by their age.
    Saved,
    /// What few commits set.
    RarelySet,
    /// No part of it: the entries of an earlier thread go.
    Erased,
}

impl Record {
    fn of(commit: &Commit) -> Self {
        let rarely_set = commit.erase.checkpoint
            || commit.release
            || commit.reminders.is_some()
            || !commit.thread_metadata.is_empty();
        if commit.erase.thread {
            Self::Erased
        } else if rarely_set {
            Self::RarelySet
        } else if commit.checkpoint.is_some() || commit.forget_before.is_some() {
            Self::Saved
        } else {
            Self::Counted
        }
    }
}

/// What of entries an append writes, each with all that stands before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entries {
    #[default]
    None,
    Plain,
    /// What they refer to, or their payload for people to query.
    Described,
}

impl Entries {
    fn of(commit: &Commit, with_json: bool) -> Self {
        if commit.entries.is_empty() {
            Self::None
        } else if with_json || commit.entries.iter().any(|entry| !entry.refs.is_empty()) {
            Self::Described
        } else {
            Self::Plain
        }
    }
}

/// What of requests an append writes, each with all that stands before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requests {
    #[default]
    None,
    Applied,
    /// And which are forgotten, one by one.
    Forgotten,
}

impl Requests {
    fn of(commit: &Commit) -> Self {
        if !commit.forget.is_empty() {
            Self::Forgotten
        } else if !commit.requests.is_empty() {
            Self::Applied
        } else {
            Self::None
        }
    }
}

/// What an append has to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) record: Record,
    pub(super) entries: Entries,
    pub(super) requests: Requests,
    /// Whether there is one commit, and one row of all else that is written, so that
    /// values come by themselves and not in arrays.
    pub(super) single: bool,
}

impl Needs {
    /// As many as there are: fewer than the driver keeps the statements of.
    pub(super) const CHOICES: usize = 4 * 3 * 3 * 2;

    /// What these commits need, together.
    pub(super) fn of<'a>(
        commits: impl ExactSizeIterator<Item = &'a Commit>,
        with_json: bool,
    ) -> Self {
        let mut needs = Self {
            single: commits.len() == 1,
            ..Self::default()
        };
        for commit in commits {
            needs.record = needs.record.max(Record::of(commit));
            needs.entries = needs.entries.max(Entries::of(commit, with_json));
            needs.requests = needs.requests.max(Requests::of(commit));
            needs.single &= (needs.entries == Entries::None || commit.entries.len() == 1)
                && (needs.requests == Requests::None || commit.requests.len() == 1)
                && (needs.requests != Requests::Forgotten || commit.forget.len() == 1);
        }
        needs
    }

    /// Which of them this is.
    pub(super) fn choice(self) -> usize {
        let parts = self.record as usize * 3 + self.entries as usize;
        (parts * 3 + self.requests as usize) * 2 + usize::from(self.single)
    }
}
