//! A batch is one transaction without savepoints: one commit in it that fails takes the
//! others with it.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Error, ErrorKind};

use crate::double::{Flaw, Rows};
use crate::foresee::Foreseen;
use crate::verdict::is_caught;

#[derive(Debug)]
struct BatchFailsAsAWhole {
    on: bool,
}

fn rolled_back(outcome: AppendOutcome) -> AppendOutcome {
    match outcome {
        AppendOutcome::Committed(_) => AppendOutcome::Failed(Error::new(
            ErrorKind::Unavailable,
            "the transaction was rolled back",
        )),
        other => other,
    }
}

#[async_trait]
impl Flaw for BatchFailsAsAWhole {
    async fn append_many(&self, rows: &Rows, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut foreseen = Foreseen::default();
        let mut outcomes = Vec::new();
        for commit in &commits {
            outcomes.push(foreseen.outcome(rows, commit).await);
        }
        let fails = |outcome: &AppendOutcome| !matches!(outcome, AppendOutcome::Committed(_));
        if self.on && outcomes.iter().any(fails) {
            return outcomes.into_iter().map(rolled_back).collect();
        }
        let mut outcomes = Vec::new();
        for commit in commits {
            outcomes.push(self.append(rows, commit).await);
        }
        outcomes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| BatchFailsAsAWhole { on }, &[Rule::Batch]).await;
}
