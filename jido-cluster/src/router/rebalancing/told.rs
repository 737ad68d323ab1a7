//! What is told of moves: events, and counts.

use crate::error::Error;
use crate::rebalance::{Migration, MigrationReason, Migrations};
use crate::router::moving::HandedOver;

/// Tells of one move.
pub(super) struct Told<'a> {
    pub(super) manager: &'a str,
    pub(super) migration: &'a Migration,
}

/// An event of a name and a level, of a move and with a reason.
macro_rules! tell {
    ($level:ident, $name:literal, $told:expr, $reason:expr) => {
        tracing::$level!(
            name: concat!("jido_cluster.rebalancer.migration.", $name),
            target: "jido_cluster.rebalancer",
            manager = $told.manager,
            key = $told.migration.key.as_str(),
            from = %$told.migration.from,
            to = %$told.migration.to,
            reason = %$reason,
            concat!("migration ", $name)
        )
    };
}

impl Told<'_> {
    pub(super) fn start(&self) {
        tell!(debug, "start", self, self.migration.reason);
    }

    pub(super) fn failed(&self, error: &Error) -> Migrations {
        tell!(warn, "failure", self, error);
        Migrations {
            failed: 1,
            ..Migrations::default()
        }
    }

    fn succeeded(&self, reason: MigrationReason) -> Migrations {
        tell!(info, "success", self, reason);
        Migrations {
            succeeded: 1,
            duplicates: u64::from(reason == MigrationReason::Duplicate),
            ..Migrations::default()
        }
    }

    fn skipped(&self, reason: &str, storage_not_shared: u64) -> Migrations {
        tell!(info, "skipped", self, reason);
        Migrations {
            skipped: 1,
            storage_not_shared,
            ..Migrations::default()
        }
    }

    pub(super) fn ended(&self, ended: HandedOver) -> Migrations {
        match ended {
            HandedOver::Moved => self.succeeded(self.migration.reason),
            HandedOver::Settled => self.succeeded(MigrationReason::Duplicate),
            HandedOver::StorageNotShared => self.skipped("storage_not_shared", 1),
            HandedOver::NotRunning => self.skipped("not_running", 0),
            HandedOver::PlacementDiffers => self.skipped("placement_differs", 0),
            HandedOver::NotAMember => self.skipped("not_a_member", 0),
        }
    }
}
