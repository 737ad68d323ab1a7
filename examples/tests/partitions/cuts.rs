//! What is cut, and what has to go on meanwhile.

use jido_testkit::process::End::{self, Node, Storage};

/// A pair of nodes, by name.
pub(crate) type Pair = (&'static str, &'static str);

/// Ways that are cut at once.
pub(crate) struct Cut {
    pub(crate) name: &'static str,
    /// From where to where nothing comes any more.
    pub(crate) ways: &'static [(End<'static>, End<'static>)],
    /// Who loses whom.
    pub(crate) losses: &'static [Pair],
    /// Which node, when asked, still has answers of counters on which other: by way of the third, for
    /// there is no other.
    pub(crate) relayed: &'static [Pair],
    /// Which node, when asked, still has answers of its own counters, or of those of a node that it reaches.
    pub(crate) served: &'static [Pair],
    /// The nodes that serve all keys during the cut, once they may take over those of others.
    pub(crate) take_over: &'static [&'static str],
}

pub(crate) const SYMMETRIC: Cut = Cut {
    name: "n1 cut from n2 and n3, both ways",
    ways: &[
        (Node("n1"), Node("n2")),
        (Node("n2"), Node("n1")),
        (Node("n1"), Node("n3")),
        (Node("n3"), Node("n1")),
    ],
    losses: &[("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")],
    relayed: &[],
    served: &[("n1", "n1"), ("n2", "n2"), ("n2", "n3"), ("n3", "n2")],
    take_over: &[],
};

/// The same where the end of a session is enough: each side takes over what the other has.
pub(crate) const SYMMETRIC_ON_DISCONNECT: Cut = Cut {
    served: &[],
    take_over: &["n1", "n2", "n3"],
    ..SYMMETRIC
};

pub(crate) const ONE_WAY: Cut = Cut {
    name: "n2 hears nothing from n1",
    ways: &[(Node("n1"), Node("n2"))],
    losses: &[("n2", "n1"), ("n1", "n2")],
    relayed: &[("n1", "n2"), ("n2", "n1")],
    served: &[("n1", "n3"), ("n3", "n1"), ("n2", "n3"), ("n3", "n2")],
    take_over: &[],
};

pub(crate) const BRIDGE: Cut = Cut {
    name: "n2 is a bridge between n1 and n3",
    ways: &[(Node("n1"), Node("n3")), (Node("n3"), Node("n1"))],
    losses: &[("n1", "n3"), ("n3", "n1")],
    relayed: &[("n1", "n3"), ("n3", "n1")],
    served: &[("n1", "n2"), ("n2", "n1"), ("n2", "n3"), ("n3", "n2")],
    take_over: &[],
};

/// Its commits take effect, and it never learns of it.
pub(crate) const UNANSWERED: Cut = Cut {
    name: "n3 hears nothing from Postgres",
    ways: &[(Storage, Node("n3"))],
    losses: &[],
    relayed: &[],
    served: &[],
    take_over: &["n1", "n2"],
};

pub(crate) const CUT_OFF: Cut = Cut {
    name: "n3 cut off from all, Postgres too",
    ways: &[
        (Node("n3"), Node("n1")),
        (Node("n1"), Node("n3")),
        (Node("n3"), Node("n2")),
        (Node("n2"), Node("n3")),
        (Node("n3"), Storage),
        (Storage, Node("n3")),
    ],
    losses: &[("n3", "n1"), ("n3", "n2"), ("n1", "n3"), ("n2", "n3")],
    relayed: &[],
    served: &[],
    take_over: &["n1", "n2"],
};
