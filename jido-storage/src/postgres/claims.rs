//! Claims and deletions.

use jido_core::{AgentId, Epoch, Revision, Timestamp};

use super::PostgresStorage;
use super::append::ended;
use super::database::{Database, arguments};
use super::fault::Fault;
use super::row::{Of, Reader, compared, time, uuid};
use crate::{AppendOutcome, ClaimOutcome, ClaimRequest, Error, ErrorKind};

/// How often a claim looks anew when the owner changes under its eyes.
const ATTEMPTS: usize = 32;

impl PostgresStorage {
    /// Claims in two steps that take turns: one takes the agent if it may, from those
    /// of whom it is known that they may be followed; the other looks who owns it.
    /// Dead is final, so what the second found holds for the first.
    pub(super) async fn claim_agent(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let id = &claim.id;
        let mut followed: Vec<_> = claim.take_from.map(uuid).into_iter().collect();
        for _attempt in 0..ATTEMPTS {
            let rows = self
                .run(
                    include_str!("sql/claim.sql"),
                    arguments!(
                        id.cluster.as_str(),
                        id.manager.as_str(),
                        id.key.as_str(),
                        uuid(claim.claimant),
                        &followed,
                        time(claim.at),
                    )?,
                )
                .await?;
            let row = rows.first().ok_or_else(|| no_row("a claim"))?;
            let row = Reader::new(row, Of::Agent(id));
            if row.number("up")? == 0 {
                return Ok(ClaimOutcome::ClaimantDead);
            }
            if row.get::<Option<i64>>("epoch")?.is_some() {
                self.appender.numbers.learn(id, row.get("id")?);
                return Ok(ClaimOutcome::Claimed(Epoch(row.number("epoch")?)));
            }
            let rows = self
                .run(
                    include_str!("sql/owner.sql"),
                    arguments!(id.cluster.as_str(), id.manager.as_str(), id.key.as_str())?,
                )
                .await?;
            let row = rows.first().ok_or_else(|| no_row("an agent"))?;
            let row = Reader::new(row, Of::Agent(id));
            let Some(owner) = row.incarnation("owner")? else {
                // Given back meanwhile.
                continue;
            };
            if row.get::<Option<bool>>("up")? == Some(true) && claim.take_from != Some(owner) {
                let epoch = Epoch(row.number("epoch")?);
                return Ok(ClaimOutcome::Held { owner, epoch });
            }
            if !followed.contains(&uuid(owner)) {
                followed.push(uuid(owner));
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("agent {id} changes its owner faster than it can be claimed"),
        ))
    }
}

/// Deletes an agent that `epoch` owns.
pub(super) async fn delete(
    database: Database,
    id: AgentId,
    epoch: Epoch,
    at: Timestamp,
) -> AppendOutcome {
    let arguments = arguments!(
        id.cluster.as_str(),
        id.manager.as_str(),
        id.key.as_str(),
        compared(epoch.0),
        time(at),
    );
    let rows = match arguments {
        Ok(arguments) => {
            let sql = include_str!("sql/delete.sql");
            database.run_here(sql, arguments).await
        }
        Err(fault) => Err(fault),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(fault) => return ended(&fault),
    };
    let Some(row) = rows.first() else {
        return AppendOutcome::Fenced { epoch: Epoch::ZERO };
    };
    let row = Reader::new(row, Of::Agent(&id));
    let read = || {
        if row.get::<Option<i64>>("revision")?.is_some() {
            let revision = Revision(row.number("revision")?);
            return Ok(AppendOutcome::Committed(revision));
        }
        let epoch = Epoch(row.number("epoch")?);
        Ok(AppendOutcome::Fenced { epoch })
    };
    // The statement has ended well, with something that can't be read.
    read().unwrap_or_else(AppendOutcome::Unknown)
}

/// What only a fault in a statement of ours could bring about.
pub(super) fn no_row(what: &str) -> Fault {
    Fault::definite(
        ErrorKind::Unavailable,
        format!("Postgres left out the outcome of {what}"),
    )
}
