//! What a load counts by names.

use std::collections::BTreeMap;

use crate::Error;
use crate::process::CounterReply;

/// Who answered whom, and why operations failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many requests were answered, by the node that was asked and the one that the counter ran on.
    pub answered: BTreeMap<(String, String), u64>,
    /// How many operations failed for their clients, by the code of the last error, or its kind where no
    /// node answered.
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn answered(&mut self, reply: &CounterReply) {
        let way = (reply.node.clone(), reply.owner.clone());
        *self.answered.entry(way).or_default() += 1;
    }

    pub(super) fn failed(&mut self, error: &Error) {
        let kind = error.code().map(str::to_owned);
        let kind = kind.unwrap_or_else(|| format!("{:?}", error.kind()));
        *self.failed.entry(kind).or_default() += 1;
    }

    /// How many requests a node was asked were answered by counters on another.
    pub fn by_way_of(&self, asked: &str, owner: &str) -> u64 {
        let way = (asked.to_owned(), owner.to_owned());
        self.answered.get(&way).copied().unwrap_or_default()
    }
}
