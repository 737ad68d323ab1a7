//! What happened, as one hash: two runs of one seed are the same if it is.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

/// What happened in a simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traced {
    /// The hash of every line with its time, in order.
    pub hash: u64,
    /// How many lines there were.
    pub events: u64,
    /// How often each kind of event happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// The lines, where they were kept.
    pub lines: Vec<String>,
    /// What has panicked, in words: tasks, and what was to happen at some time. Those that unwind
    /// without the process's hook are left out.
    pub panics: Vec<String>,
}

pub(super) struct Trace {
    hash: Xxh3,
    traced: Traced,
    line: String,
    keep: bool,
    closed: bool,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        Self {
            hash: Xxh3::new(),
            traced: Traced::default(),
            line: String::new(),
            keep,
            closed: false,
        }
    }

    pub(super) fn note(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        if self.closed {
            return;
        }
        self.line.clear();
        // Writing to a `String` never fails.
        let _ = writeln!(self.line, "{:>7} {line}", at.as_millis());
        self.hash.update(self.line.as_bytes());
        self.traced.events += 1;
        if self.keep {
            self.traced.lines.push(self.line.trim_end().to_owned());
        }
    }

    pub(super) fn count(&mut self, kind: &'static str) {
        if !self.closed {
            *self.traced.counts.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn end(&mut self) -> Traced {
        self.closed = true;
        self.traced.hash = self.hash.digest();
        std::mem::take(&mut self.traced)
    }
}
