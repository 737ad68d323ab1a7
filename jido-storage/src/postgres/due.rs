//! Who is to be woken.

use jido_core::{AgentKey, Timestamp};

use super::PostgresStorage;
use super::database::arguments;
use super::row::{Of, Reader, clamped, time};
use crate::{Due, DueQuery, Error};

impl PostgresStorage {
    pub(super) async fn page_of_due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        // No time is below 0, so all of them come after this.
        let (at, key) = query
            .after
            .as_ref()
            .map_or((-1, ""), |after| (time(after.wake_at), after.key.as_str()));
        let rows = self
            .run(
                include_str!("sql/due.sql"),
                arguments!(
                    query.cluster.as_str(),
                    query.manager.as_str(),
                    time(query.until),
                    at,
                    key,
                    clamped(query.limit.max(1) as u64),
                )?,
            )
            .await?;
        rows.iter()
            .map(|row| {
                let row = Reader::new(row, Of::Directory(&query.cluster, &query.manager));
                let key = AgentKey::new(row.get::<&str>("key")?).map_err(|_| row.corrupt("key"))?;
                let wake_at = Timestamp(row.number("wake_at")?);
                Ok(Due { wake_at, key })
            })
            .collect()
    }
}
