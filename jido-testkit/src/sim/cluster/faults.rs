//! What can be done to a cluster, besides taking its nodes down.

use std::time::Duration;

use jido_cluster::Agent;

use super::SimCluster;
use crate::sim::storage::StorageFaults;

impl<A: Agent> SimCluster<A> {
    /// Stops a node, as a signal or a suspended machine does: nothing leaves it and
    /// nothing reaches it until it goes on. Answers whether it runs.
    pub fn pause(&self, name: &str) -> bool {
        let life = self.life(name);
        life.is_some_and(|life| {
            self.world
                .note(format_args!("node {} pauses", life.label()));
            life.pause();
            true
        })
    }

    /// Lets a node go on that was paused. Answers whether it is there.
    pub fn resume(&self, name: &str) -> bool {
        let life = self.life(name);
        life.is_some_and(|life| {
            self.world
                .note(format_args!("node {} goes on", life.label()));
            life.resume();
            true
        })
    }

    /// Holds everything on its way to a node: what others send, and what storage answers.
    /// What the node sends goes through. [`SimCluster::hear`] ends it.
    pub fn deafen(&self, name: &str, others: &[String]) {
        for other in others {
            self.network.cut(other, name);
        }
        if let Some(life) = self.life(name) {
            life.deafen(true);
        }
    }

    /// Lets everything through to a node again.
    pub fn hear(&self, name: &str, others: &[String]) {
        if let Some(life) = self.life(name) {
            life.deafen(false);
        }
        for other in others {
            self.network.heal(other, name);
        }
    }

    /// Lets a node's clock of elapsed time jump ahead.
    pub fn jump(&self, name: &str, by: Duration) {
        if let Some(life) = self.life(name) {
            life.environment().jump(by);
        }
    }

    /// Sets a node's wall clock by so many milliseconds, forward or back.
    pub fn set_wall(&self, name: &str, by: i64) {
        if let Some(life) = self.life(name) {
            life.environment().set_wall(by);
        }
    }

    /// Sets a node's wall clock right.
    pub fn correct_wall(&self, name: &str) {
        if let Some(life) = self.life(name) {
            life.environment().correct_wall();
        }
    }

    /// Holds everything on the way from one node to another.
    pub fn cut(&self, from: &str, to: &str) {
        self.network.cut(from, to);
    }

    /// Lets everything through again from one node to another.
    pub fn heal(&self, from: &str, to: &str) {
        self.network.heal(from, to);
    }

    /// Makes the ways between two nodes take up to this time, or as long as usual.
    pub fn slow(&self, one: &str, other: &str, most: Option<Duration>) {
        self.network.slow(one, other, most);
    }

    /// Ends the session between two nodes.
    pub fn reset(&self, one: &str, other: &str) {
        self.network.reset(one, other);
    }

    /// Begins a time in which storage fails; [`SimCluster::mend_storage`] ends it.
    pub fn fail_storage(&self, faults: StorageFaults) -> u64 {
        self.server.begin(faults)
    }

    /// Ends what [`SimCluster::fail_storage`] began.
    pub fn mend_storage(&self, number: u64) {
        self.server.end(number);
    }
}
