//! `offset n`: pages count agents, so that one which goes away hides another, and one
//! which comes shows another twice.

use async_trait::async_trait;
use bytes::Bytes;
use jido_storage::conformance::Rule;
use jido_storage::{Cursor, DirectoryPage, DirectoryQuery, Error, ErrorKind, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct ByOffset {
    on: bool,
}

fn offset(cursor: &Cursor) -> Result<usize, Error> {
    let bytes = <[u8; 8]>::try_from(&cursor.0[..]);
    let bytes = bytes.map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string()))?;
    Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap())
}

#[async_trait]
impl Flaw for ByOffset {
    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        if !self.on {
            return rows.directory(query).await;
        }
        let skipped = query.after.as_ref().map_or(Ok(0), offset)?;
        let all = DirectoryQuery {
            after: None,
            limit: usize::MAX - 1,
            ..query
        };
        let all = rows.directory(all).await?.agents;
        let (count, limit) = (all.len(), query.limit.max(1));
        let end = skipped.saturating_add(limit);
        let next = (end < count).then(|| Cursor(Bytes::copy_from_slice(&end.to_le_bytes())));
        Ok(DirectoryPage {
            agents: all.into_iter().skip(skipped).take(limit).collect(),
            next,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ByOffset { on }, &[Rule::Directory]).await;
}
