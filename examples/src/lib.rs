//! The demo node, as a library: the programs `counter-node` and `cluster` both run it.

pub mod counter_node;
