//! Who is to be woken.

use async_trait::async_trait;

use super::database::{Batch, Reading, Transaction};
use super::fault::Fault;
use super::layout::Layout;
use super::read::corrupt;
use super::transact::{Operation, Step};
use crate::{Due, DueQuery};

#[async_trait]
impl Operation for DueQuery {
    type Output = Vec<Due>;

    fn name(&self) -> String {
        format!("reading who is due of {}/{}", self.cluster, self.manager)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let limit = self.limit.max(1);
        let mut due: Vec<Due> = Vec::new();
        let mut rest = layout.due_by(self);
        while due.len() < limit {
            let Batch { pairs, more } = tx
                .range(&rest, limit - due.len(), Reading::Snapshot)
                .await?;
            let Some((last, _)) = pairs.last() else {
                break;
            };
            rest.begin_after(last);
            for (key, _) in pairs {
                due.push(layout.due_at(&key).ok_or_else(|| {
                    corrupt(format!(
                        "one that is due of {}/{} has a key that is none",
                        self.cluster, self.manager
                    ))
                })?);
            }
            if !more {
                break;
            }
        }
        Ok(Step::Read(due))
    }
}
