//! What adapters are given that they never gave: for targets of a fuzzer.

use bytes::Bytes;

use crate::{Cursor, DirectoryQuery, ErrorKind, Storage};

/// Asks for pages of a directory from a cursor of any bytes on, and holds that they are
/// refused as the caller's mistake or lead to agents of that manager and to an end.
///
/// The seeds for a target are the cursors that the adapter gives. `query` says which
/// directory; its own cursor and limit are left aside. No more than 100 agents are in
/// it, and nobody changes it meanwhile.
///
/// # Panics
///
/// When the adapter breaks that. The message says what it saw.
pub async fn hostile_cursor(storage: &dyn Storage, query: &DirectoryQuery, bytes: &[u8]) {
    let mut after = Some(Cursor(Bytes::copy_from_slice(bytes)));
    for _ in 0..=100 {
        let query = DirectoryQuery {
            after: after.take(),
            limit: 2,
            ..query.clone()
        };
        let page = match storage.directory(query.clone()).await {
            Ok(page) => page,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                return;
            }
        };
        assert!(page.agents.len() <= 2, "{page:?}");
        for agent in &page.agents {
            assert_eq!(agent.id.cluster, query.cluster);
            assert_eq!(agent.id.manager, query.manager);
        }
        match page.next {
            None => return,
            next => after = next,
        }
    }
    panic!("the pages after cursor {bytes:?} have no end");
}
