//! A page's cursor is the key that the next one should begin with, and is taken for the
//! last one that was given.

use async_trait::async_trait;
use bytes::Bytes;
use jido_storage::conformance::Rule;
use jido_storage::{Cursor, DirectoryPage, DirectoryQuery, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct SkipsAtTheEdge {
    on: bool,
}

#[async_trait]
impl Flaw for SkipsAtTheEdge {
    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let limit = query.limit.max(1);
        // One more than asked for tells whether there is a next page.
        let more = DirectoryQuery {
            limit: limit.saturating_add(1),
            ..query
        };
        let mut agents = rows.directory(more).await?.agents;
        let edge = if self.on { limit } else { limit - 1 };
        let next = (agents.len() > limit).then(|| {
            let key = agents[edge].id.key.as_str();
            Cursor(Bytes::copy_from_slice(key.as_bytes()))
        });
        agents.truncate(limit);
        Ok(DirectoryPage { agents, next })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| SkipsAtTheEdge { on }, &[Rule::Directory, Rule::Whole]).await;
}
