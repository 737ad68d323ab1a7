//! Keys are cut to what the store's own keys may have, so that long ones of one beginning
//! are one.

use async_trait::async_trait;
use jido_core::{AgentId, AgentKey, Entry, Epoch, RequestId, Seq, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, CommittedRequest, Error,
    Loaded, Storage,
};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

/// Bytes of a key of the store.
const MOST: usize = 511;

#[derive(Debug)]
struct KeysCollide {
    on: bool,
}

impl KeysCollide {
    fn cut(&self, id: &AgentId) -> AgentId {
        let key = id.key.as_str();
        let mut end = key.len();
        while self.on && (end > MOST || !key.is_char_boundary(end)) {
            end -= 1;
        }
        AgentId {
            key: AgentKey::new(&key[..end]).unwrap(),
            ..id.clone()
        }
    }
}

#[async_trait]
impl Flaw for KeysCollide {
    async fn claim(&self, rows: &Rows, mut claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        claim.id = self.cut(&claim.id);
        rows.claim(claim).await
    }

    async fn load(&self, rows: &Rows, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let mut loaded = rows.load(&self.cut(id)).await?;
        if let Some(loaded) = &mut loaded {
            loaded.record.id = id.clone();
        }
        Ok(loaded)
    }

    async fn head(&self, rows: &Rows, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let head = rows.head(&self.cut(id)).await?;
        Ok(head.map(|head| AgentRecord {
            id: id.clone(),
            ..head
        }))
    }

    async fn read_thread(
        &self,
        rows: &Rows,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        rows.read_thread(&self.cut(id), from, limit).await
    }

    async fn reply_of(
        &self,
        rows: &Rows,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        rows.reply_of(&self.cut(id), request).await
    }

    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        commit.id = self.cut(&commit.id);
        rows.append(commit).await
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        rows.delete(&self.cut(id), epoch, at).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| KeysCollide { on }, &[Rule::Limit]).await;
}
