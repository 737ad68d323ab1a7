//! Who laid the keys down, and in which version; and sweeping after instances that are gone.

use async_trait::async_trait;
use foundationdb_tuple::{pack, unpack};

use super::database::{Conflict, Reading, Transaction};
use super::fault::Fault;
use super::lanes::Marker;
use super::layout::{Layout, Span};
use super::transact::{Operation, Step};
use crate::{Error, ErrorKind};

/// The version of the keys and their records. It changes when a build of before
/// could not read them.
const SCHEMA: u64 = 3;
const MAGIC: &str = "jido";

/// How old a marker is, in versions, when no transaction can be in question any more that wrote
/// it: about a day. The engine forgets a transaction after five seconds.
const OLD: i64 = 86_400 * 1_000_000;

/// How many markers are looked at whenever a storage is opened.
const SWEPT: usize = 1000;

/// Writes the schema's version where nothing is, or compares it.
pub(super) struct CheckSchema;

fn refused(kind: ErrorKind, message: String) -> Fault {
    Fault::Refused(Error::new(kind, message))
}

#[async_trait]
impl Operation for CheckSchema {
    type Output = ();

    fn name(&self) -> String {
        "opening the storage".to_owned()
    }

    async fn run(&self, layout: &Layout, tx: &dyn Transaction) -> Result<Step<()>, Fault> {
        let key = layout.schema();
        let Some(stored) = tx.get(&key, Reading::Guarded).await? else {
            let all = layout.everything();
            if !tx.range(&all, 1, Reading::Guarded).await?.pairs.is_empty() {
                return Err(refused(
                    ErrorKind::Schema,
                    format!(
                        "what is stored behind the prefix is not jido's: there is no schema version, \
                         where this build expects {SCHEMA}"
                    ),
                ));
            }
            tx.set(&key, &pack(&(MAGIC, SCHEMA)));
            return Ok(Step::Write(()));
        };
        match unpack::<(String, u64)>(&stored) {
            Ok((magic, SCHEMA)) if magic == MAGIC => Ok(Step::Read(())),
            Ok((magic, version)) if magic == MAGIC => Err(refused(
                ErrorKind::Schema,
                format!("the data has schema version {version}: this build has {SCHEMA}"),
            )),
            _ => Err(refused(
                ErrorKind::Corrupt,
                "the record of the schema's version is corrupt".to_owned(),
            )),
        }
    }
}

/// Clears markers of instances that are gone. It begins at a place that is random, the opening
/// instance's own, so that in time it comes by all of them.
pub(super) struct Sweep {
    pub(super) from: u128,
}

#[async_trait]
impl Operation for Sweep {
    type Output = ();

    fn name(&self) -> String {
        "sweeping old markers".to_owned()
    }

    async fn run(&self, layout: &Layout, tx: &dyn Transaction) -> Result<Step<()>, Fault> {
        let span = layout.markers_from(self.from);
        let batch = tx.range(&span, SWEPT, Reading::Snapshot).await?;
        let now = tx.read_version().await?;
        let mut swept = false;
        for (key, stored) in batch.pairs {
            let old = Marker::decode(&stored)
                .is_some_and(|marker| now.saturating_sub(marker.version) > OLD);
            if old {
                // Its instance may be there all the same, and use it again just now.
                tx.add_conflict(&key, Conflict::Read)?;
                tx.clear_unguarded(&Span::only(key))?;
                swept = true;
            }
        }
        Ok(match swept {
            true => Step::Write(()),
            false => Step::Read(()),
        })
    }
}
