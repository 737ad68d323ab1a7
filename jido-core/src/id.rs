//! The identity of an agent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AgentKey, ClusterName, ManagerName};

/// Identifies one agent: `{cluster, manager, key}`. There is one live instance
/// of it in the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentId {
    /// The cluster that the agent lives in.
    pub cluster: ClusterName,
    /// The manager that runs agents of its kind.
    pub manager: ManagerName,
    /// Its key within the manager.
    pub key: AgentKey,
}

impl AgentId {
    /// Puts an identity together from its parts.
    pub fn new(cluster: ClusterName, manager: ManagerName, key: AgentKey) -> Self {
        Self {
            cluster,
            manager,
            key,
        }
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.manager, self.key)
    }
}
