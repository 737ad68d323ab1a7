//! Holds what is stored against what is known.

use std::sync::Arc;

use jido_core::{Epoch, Seq};
use jido_storage::{Error, ErrorKind, Loaded, PostgresStorage, Storage};

use super::ledger::{Known, Ledger};
use super::load::{ENTRIES, KEPT, content, key, request_id};
use crate::fixture::{LIMIT, id};

/// Reads over connections of its own.
pub(crate) struct Checker {
    storage: PostgresStorage,
    ledger: Arc<Ledger>,
    /// The commits of each agent that were read and found good, in their order.
    seen: Vec<Vec<(Epoch, u64)>>,
}

impl Checker {
    pub(crate) fn new(storage: PostgresStorage, ledger: Arc<Ledger>) -> Self {
        let seen = vec![Vec::new(); ledger.agents() as usize];
        Self {
            storage,
            ledger,
            seen,
        }
    }

    /// Looks at what came since it looked last, while more may come.
    pub(crate) async fn look(&mut self) -> Result<(), String> {
        for agent in 0..self.ledger.agents() {
            let known = self.ledger.known(agent);
            self.agent(agent, &known)
                .await
                .map_err(|found| format!("agent {agent}: {found}"))?;
        }
        self.ledger.wrong().map_or(Ok(()), Err)
    }

    /// Looks at everything again. No append is under way, so all that is there is known.
    pub(crate) async fn look_at_all(&mut self) -> Result<(), String> {
        self.seen.iter_mut().for_each(Vec::clear);
        self.look().await?;
        for agent in 0..self.ledger.agents() {
            let (known, seen) = (self.ledger.known(agent), &self.seen[agent as usize]);
            if known.there.len() != seen.len() {
                return Err(format!(
                    "agent {agent} has {} commits, and {} are known of",
                    seen.len(),
                    known.there.len()
                ));
            }
        }
        Ok(())
    }

    async fn agent(&mut self, agent: u64, known: &Known) -> Result<(), String> {
        let asked = id(&key(agent));
        let loaded = self
            .answered(async |storage| storage.load(&asked).await)
            .await?;
        let last = loaded.as_ref().map_or(0, |loaded| loaded.record.revision.0);
        if let Some(loaded) = &loaded
            && loaded.record.thread_len.0 != last * ENTRIES
        {
            let len = loaded.record.thread_len;
            return Err(format!("revision {last} has a thread of {len}"));
        }
        self.read_on(agent, last).await?;
        let seen = &self.seen[agent as usize];
        for (revision, expected) in &known.there {
            let found = seen.get(*revision as usize - 1);
            if found != Some(expected) {
                return Err(format!(
                    "revision {revision} was acknowledged for {expected:?}, found is {found:?}"
                ));
            }
        }
        if let Some((_, request)) = seen.iter().find(|(_, one)| known.absent.contains(one)) {
            return Err(format!("request {request} is there, which was refused"));
        }
        match loaded {
            Some(loaded) if last > 0 => records(agent, &loaded, seen),
            _ => Ok(()),
        }
    }

    /// Reads the entries up to a revision that were not read yet.
    async fn read_on(&mut self, agent: u64, last: u64) -> Result<(), String> {
        let asked = id(&key(agent));
        let mut at = self.seen[agent as usize].len() as u64 * ENTRIES;
        while at < last * ENTRIES {
            let page = self
                .answered(async |storage| storage.read_thread(&asked, Seq(at), 1_000).await)
                .await?;
            if page.is_empty() {
                return Err(format!("entry {at} is missing before revision {last}"));
            }
            for entry in page {
                if entry.seq.0 >= last * ENTRIES {
                    return Ok(());
                }
                let (revision, part) = (at / ENTRIES + 1, at % ENTRIES);
                let seen = &mut self.seen[agent as usize];
                if (entry.seq.0, entry.revision.0) != (at, revision) {
                    return Err(format!("at place {at} there is {entry:?}"));
                }
                let text = std::str::from_utf8(&entry.payload).unwrap_or_default();
                let told = text.split('|').next().unwrap_or_default().parse();
                let request = told.map_err(|_| format!("entry {at} is torn"))?;
                if entry.payload != content(agent, request, revision, part) {
                    return Err(format!("entry {at} is torn"));
                }
                if part == 0 {
                    let before = seen.last().copied().unwrap_or((Epoch::ZERO, 0));
                    if before.0 > entry.epoch || before.1 >= request {
                        return Err(format!("request {request} comes after {before:?}"));
                    }
                    seen.push((entry.epoch, request));
                } else if seen.last() != Some(&(entry.epoch, request)) {
                    return Err(format!("the commit of revision {revision} is torn"));
                }
                at += 1;
            }
        }
        Ok(())
    }

    /// An answer of the server, which may just have come back.
    async fn answered<T>(
        &self,
        ask: impl AsyncFn(&PostgresStorage) -> Result<T, Error>,
    ) -> Result<T, String> {
        let answered = async {
            loop {
                match ask(&self.storage).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    answered => return answered.map_err(|error| error.to_string()),
                }
            }
        };
        let answered = tokio::time::timeout(LIMIT, answered).await;
        answered.unwrap_or_else(|_| Err(format!("no answer in {LIMIT:?}")))
    }
}

/// The checkpoint and the records of requests go with their entries.
fn records(agent: u64, loaded: &Loaded, seen: &[(Epoch, u64)]) -> Result<(), String> {
    let last = loaded.record.revision.0;
    let (_, request) = seen[last as usize - 1];
    let checkpoint = loaded.checkpoint.as_ref().ok_or("there is no checkpoint")?;
    if checkpoint.covers != loaded.record.thread_len
        || checkpoint.state != content(agent, request, last, 100)
    {
        return Err(format!("the checkpoint is not of revision {last}"));
    }
    for mark in &loaded.requests.marks {
        let revision = mark.revision.0;
        let there = seen.get(revision as usize - 1).map(|(_, there)| *there);
        if there.map(|there| request_id(agent, there)) != Some(mark.request) {
            return Err(format!("a record of {} has no effect", mark.request));
        }
    }
    let kept = seen[..last as usize].iter().rev();
    for (_, there) in kept.take_while(|(_, there)| there + KEPT > request) {
        let id = request_id(agent, *there);
        if !loaded.requests.marks.iter().any(|mark| mark.request == id) {
            return Err(format!("request {there} has an effect and no record"));
        }
    }
    Ok(())
}
