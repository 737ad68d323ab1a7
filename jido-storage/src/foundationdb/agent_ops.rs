//! The operations that write agents: appends, deletion, claims.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use jido_core::{AgentId, ClusterName, Epoch, Incarnation, RequestId, Timestamp};

use super::database::{Reading, Transaction};
use super::fault::{Code, Fault};
use super::layout::Layout;
use super::node_ops::node_row;
use super::plan::{Plan, Rows, Write};
use super::rows::ClaimRow;
use super::transact::{Operation, Step};
use crate::record_codec::encode;
use crate::{AppendOutcome, ClaimOutcome, ClaimRequest, Commit, NodeState};

/// Commits that share a transaction.
pub(super) struct Append {
    pub(super) commits: Arc<[Commit]>,
}

/// A deletion of an agent.
pub(super) struct Delete {
    pub(super) id: AgentId,
    pub(super) epoch: Epoch,
    pub(super) at: Timestamp,
}

impl Plan {
    /// Reads all that commits are checked against, at once. The rows are guarded:
    /// whoever else writes one of them, a claim or another commit, makes the transaction
    /// conflict. They stand for the rest, which nobody writes without its agent's row.
    async fn read(
        layout: &Layout,
        tx: &dyn Transaction,
        ids: BTreeSet<AgentId>,
        requests: BTreeSet<(AgentId, RequestId)>,
    ) -> Result<Self, Code> {
        let rows = try_join_all(ids.into_iter().map(async |id| {
            let (claim, state) = (layout.claim(&id), layout.state(&id));
            let (claim, state) = try_join(
                tx.get(&claim, Reading::Guarded),
                tx.get(&state, Reading::Guarded),
            )
            .await?;
            Ok::<_, Code>((id, Rows { claim, state }))
        }));
        let marks = try_join_all(requests.into_iter().map(async |(id, request)| {
            let key = layout.content(&id).mark(request);
            let mark = tx.get(&key, Reading::Snapshot).await?;
            Ok::<_, Code>(mark.map(|_| (id, request)))
        }));
        let (rows, marks) = try_join(rows, marks).await?;
        Ok(Self {
            rows: rows.into_iter().collect(),
            marks: marks.into_iter().flatten().collect(),
            ..Self::default()
        })
    }

    /// Writes what is planned; answers whether anything is.
    fn write(&self, layout: &Layout, tx: &dyn Transaction) -> Result<bool, Code> {
        for write in &self.writes {
            match write {
                Write::Set(key, value) => tx.set_unguarded(key, value)?,
                Write::Clear(span) => tx.clear_unguarded(span)?,
            }
        }
        for id in &self.changed {
            if let Some(Rows {
                state: Some(row), ..
            }) = self.rows.get(id)
            {
                tx.set(&layout.state(id), row);
            }
        }
        for id in &self.released {
            if let Some(Rows {
                claim: Some(row), ..
            }) = self.rows.get(id)
            {
                tx.set(&layout.claim(id), row);
            }
        }
        Ok(!self.changed.is_empty())
    }
}

#[async_trait]
impl Operation for Append {
    type Output = Vec<AppendOutcome>;

    fn name(&self) -> String {
        match &self.commits[..] {
            [commit] => format!("a commit of agent {}", commit.id),
            commits => format!("a batch of {} commits", commits.len()),
        }
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let ids = self
            .commits
            .iter()
            .map(|commit| commit.id.clone())
            .collect();
        let requests = self.commits.iter().flat_map(|commit| {
            let requests = commit.requests.iter().map(|record| record.request);
            requests.map(|request| (commit.id.clone(), request))
        });
        let mut plan = Plan::read(layout, tx, ids, requests.collect()).await?;
        let outcomes = self
            .commits
            .iter()
            .map(|commit| plan.append(layout, commit))
            .collect();
        Ok(match plan.write(layout, tx)? {
            true => Step::Write(outcomes),
            false => Step::Read(outcomes),
        })
    }
}

#[async_trait]
impl Operation for Delete {
    type Output = AppendOutcome;

    fn name(&self) -> String {
        format!("the deletion of agent {}", self.id)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let ids = BTreeSet::from([self.id.clone()]);
        let mut plan = Plan::read(layout, tx, ids, BTreeSet::new()).await?;
        let outcome = plan.delete(layout, &self.id, self.epoch, self.at);
        Ok(match plan.write(layout, tx)? {
            true => Step::Write(outcome),
            false => Step::Read(outcome),
        })
    }
}

async fn is_up(
    layout: &Layout,
    tx: &dyn Transaction,
    cluster: &ClusterName,
    life: Incarnation,
) -> Result<bool, Fault> {
    let node = node_row(layout, tx, cluster, life).await?;
    Ok(node.is_some_and(|node| node.state == NodeState::Up))
}

#[async_trait]
impl Operation for ClaimRequest {
    type Output = ClaimOutcome;

    fn name(&self) -> String {
        format!("a claim of agent {}", self.id)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let cluster = &self.id.cluster;
        let key = layout.claim(&self.id);
        let (claimant_is_up, row) = futures_util::future::join(
            is_up(layout, tx, cluster, self.claimant),
            tx.get(&key, Reading::Guarded),
        )
        .await;
        if !claimant_is_up? {
            return Ok(Step::Read(ClaimOutcome::ClaimantDead));
        }
        let row = match row? {
            None => None,
            Some(row) => Some(ClaimRow::decode(&self.id, &row)?),
        };
        if let Some(row) = &row
            && let Some(owner) = row.owner
            && owner != self.claimant
            && self.take_from != Some(owner)
            && is_up(layout, tx, cluster, owner).await?
        {
            return Ok(Step::Read(ClaimOutcome::Held {
                owner,
                epoch: row.epoch,
            }));
        }
        let mut row = row.unwrap_or_else(|| ClaimRow::new(self.at));
        if std::mem::take(&mut row.deleted) {
            row.created_at = self.at;
        }
        row.owner = Some(self.claimant);
        row.epoch = row.epoch.next();
        row.claimed_at = self.at;
        tx.set(&key, &encode(&row)?);
        Ok(Step::Write(ClaimOutcome::Claimed(row.epoch)))
    }
}
