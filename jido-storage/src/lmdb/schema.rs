//! The tables of a folder: made when it is fresh, checked when it is not.

use std::path::Path;

use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, RwTxn, WithTls};

use super::env::{FOLLOWS, full};
use super::fault::{Fault, definite, is_map_full, is_map_resized};
use super::tables::Tables;
use crate::{Error, ErrorKind};

/// The version of the tables and their keys. It changes when a build of before
/// could not read them.
const SCHEMA: u32 = 4;
const SCHEMA_KEY: &[u8] = b"schema";
const SCHEMA_MAGIC: &[u8; 4] = b"jido";

/// Makes the tables, or opens them and checks who laid them down.
pub(super) fn open_tables(
    env: &heed::Env<WithTls>,
    folder: &Path,
    bound: usize,
) -> Result<Tables, Error> {
    let explain = |fault: Fault| match fault {
        Fault::Refused(error) => error,
        Fault::Engine(error) if is_map_full(&error) => full(folder, env.info().map_size, bound),
        Fault::Engine(error) => definite(&error, folder, "opening the tables"),
    };
    #[allow(
        unsafe_code,
        reason = "heed asks that no transaction of this process is active: nobody else has the \
                  environment yet"
    )]
    let resize = |size| unsafe { env.resize(size) };
    let mut follows = 0;
    let txn = loop {
        match env.write_txn() {
            Err(error) if is_map_resized(&error) && follows < FOLLOWS => {
                follows += 1;
                // 0 means the size that the file says, in which others' reserve may be.
                resize(0).map_err(|e| explain(e.into()))?;
                if env.info().map_size > bound {
                    resize(bound).map_err(|e| explain(e.into()))?;
                }
            }
            begun => break begun.map_err(|e| explain(e.into()))?,
        }
    };
    let opened = env.create_databases_and_commit(txn, |opener, txn| -> Result<_, Fault> {
        let unnamed = opener.open_database::<Raw, Raw>(txn, None)?;
        let fresh = match unnamed {
            Some(unnamed) => unnamed.is_empty(txn)?,
            None => true,
        };
        let meta = opener.create_database(txn, Some("meta"))?;
        check_schema(&meta, txn, folder, fresh)?;
        Ok(CommitOrAbort::<_, ()>::Commit((
            meta,
            opener.create_database(txn, Some("nodes"))?,
            opener.create_database(txn, Some("agents"))?,
            opener.create_database(txn, Some("checkpoints"))?,
            opener.create_database(txn, Some("entries"))?,
            opener.create_database(txn, Some("threads"))?,
            opener.create_database(txn, Some("requests"))?,
            opener.create_database(txn, Some("reminders"))?,
            opener.create_database(txn, Some("due"))?,
        )))
    });
    match opened.map_err(explain)? {
        CommitOrAbort::Commit(opened) => {
            let (meta, nodes, agents, checkpoints, entries, threads, requests, reminders, due) =
                opened;
            Ok(Tables {
                meta,
                nodes,
                agents,
                checkpoints,
                entries,
                threads,
                requests,
                reminders,
                due,
            })
        }
        CommitOrAbort::Abort(()) => Err(Error::new(
            ErrorKind::Unavailable,
            "opening the tables was given up",
        )),
    }
}

/// Writes the schema's version into a fresh folder, or compares it.
pub(super) fn check_schema(
    meta: &Database<'_, Raw, Raw>,
    txn: &mut RwTxn<'_>,
    folder: &Path,
    fresh: bool,
) -> Result<(), Fault> {
    let refused = |kind, message: String| {
        Err(Fault::Refused(Error::new(
            kind,
            format!("{}: {message}", folder.display()),
        )))
    };
    match meta.get(txn, SCHEMA_KEY)? {
        Some(stored) => match stored.split_first_chunk::<4>() {
            Some((SCHEMA_MAGIC, version)) if version.len() == 4 => {
                let version = version
                    .iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                if version == SCHEMA {
                    Ok(())
                } else {
                    refused(
                        ErrorKind::Schema,
                        format!("the data has schema version {version}: this build has {SCHEMA}"),
                    )
                }
            }
            _ => refused(
                ErrorKind::Corrupt,
                "the record of the schema's version is corrupt".into(),
            ),
        },
        None if fresh => {
            let mut record = SCHEMA_MAGIC.to_vec();
            record.extend_from_slice(&SCHEMA.to_le_bytes());
            Ok(meta.put(txn, SCHEMA_KEY, &record)?)
        }
        None => refused(
            ErrorKind::Schema,
            format!(
                "the data is not jido's: there is no schema version, where this build expects {SCHEMA}"
            ),
        ),
    }
}
