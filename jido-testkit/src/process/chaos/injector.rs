//! Lets things go wrong, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::fault::FaultKind;
use super::stage::Running;
use crate::postgres::Shutdown;
use crate::process::Load;
use crate::{Error, ErrorKind};

/// How long a node that is told to end is given: what it promises, and some.
const END_WITHIN: Duration = Duration::from_secs(20);

/// How long everything is left alone before the next fault, at the least and the most.
const CALM: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2_500));

/// How long what is down stays down.
const DOWN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2_000));

/// A node that was killed.
#[derive(Debug)]
pub(super) struct Killed {
    /// Since the load's start.
    pub(super) at: Duration,
    /// The keys that it had answered for, with the epochs of its activations.
    pub(super) keys: BTreeMap<String, u64>,
}

/// What was done, and what was wrong with how nodes took it.
pub(super) struct Injector<'a> {
    stage: &'a mut Running,
    kinds: Vec<FaultKind>,
    /// Those that are still to come before all happen again.
    to_come: Vec<FaultKind>,
    lease_ttl: Duration,
    chance: Rng,
    pub(super) counts: BTreeMap<FaultKind, u64>,
    pub(super) killed: Vec<Killed>,
    pub(super) complaints: Vec<String>,
}

impl<'a> Injector<'a> {
    pub(super) fn new(
        stage: &'a mut Running,
        kinds: Vec<FaultKind>,
        lease_ttl: Duration,
        seed: u64,
    ) -> Self {
        Self {
            stage,
            kinds,
            to_come: Vec::new(),
            lease_ttl,
            chance: Rng::with_seed(seed),
            counts: BTreeMap::new(),
            killed: Vec::new(),
            complaints: Vec::new(),
        }
    }

    /// Whether every kind of fault has happened as often as any other.
    pub(super) fn is_through(&self) -> bool {
        self.to_come.is_empty()
    }

    /// Waits a while, lets one thing go wrong, and mends it. Says what it did.
    pub(super) async fn one(&mut self, load: &Load) -> Result<String, Error> {
        self.pause(CALM).await;
        if self.to_come.is_empty() {
            self.to_come.clone_from(&self.kinds);
            self.chance.shuffle(&mut self.to_come);
        }
        let Some(kind) = self.to_come.pop() else {
            return Ok("nothing can go wrong".to_owned());
        };
        *self.counts.entry(kind).or_default() += 1;
        let victims = self.victims(kind);
        let before = load.counts();
        match kind {
            FaultKind::Kill => self.kill(&victims, load).await?,
            FaultKind::Pause => self.hold(&victims).await?,
            FaultKind::Terminate => self.terminate(&victims).await?,
            FaultKind::PostgresFast => self.restart_postgres(Shutdown::Fast).await?,
            FaultKind::PostgresImmediate => self.restart_postgres(Shutdown::Immediate).await?,
        }
        let (after, at) = (load.counts(), load.elapsed());
        Ok(format!(
            "{at:.1?}: {kind} {}: {} answers meanwhile",
            victims.join(" and "),
            after.acknowledged + after.reads - before.acknowledged - before.reads
        ))
    }

    /// One node, or at times two to be killed at once, where others stay.
    fn victims(&mut self, kind: FaultKind) -> Vec<String> {
        let nodes = self.stage.cluster.nodes();
        let mut names: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
        self.chance.shuffle(&mut names);
        let two = kind == FaultKind::Kill && names.len() > 2 && self.chance.u8(..4) == 0;
        names.truncate(match kind {
            FaultKind::PostgresFast | FaultKind::PostgresImmediate => 0,
            _ if two => 2,
            _ => 1,
        });
        names
    }

    async fn pause(&mut self, (least, most): (Duration, Duration)) {
        let extra = (most - least).mul_f64(self.chance.f64());
        // The rhythm of what goes wrong; nothing is waited for by it.
        tokio::time::sleep(least + extra).await;
    }

    async fn kill(&mut self, victims: &[String], load: &Load) -> Result<(), Error> {
        for victim in victims {
            let keys = load.answered_by(victim);
            let at = load.elapsed();
            self.stage.cluster.kill(victim).await?;
            self.killed.push(Killed { at, keys });
        }
        self.pause(DOWN).await;
        for victim in victims {
            self.stage.cluster.restart(victim).await?;
        }
        Ok(())
    }

    /// Pauses nodes for longer than their leases last. They must go on by themselves.
    async fn hold(&mut self, victims: &[String]) -> Result<(), Error> {
        for victim in victims {
            self.stage.cluster.pause(victim).await?;
        }
        self.pause((self.lease_ttl.mul_f64(1.5), self.lease_ttl * 3))
            .await;
        for victim in victims {
            self.stage.cluster.resume(victim)?;
        }
        for victim in victims {
            match self.stage.cluster.wait_ready(victim).await {
                Err(error) if error.kind() == ErrorKind::Exited => {
                    self.complaints
                        .push(format!("{victim} ended after a pause: {error}"));
                    self.stage.cluster.restart(victim).await?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn terminate(&mut self, victims: &[String]) -> Result<(), Error> {
        for victim in victims {
            let status = self.stage.cluster.terminate(victim, END_WITHIN).await?;
            if !status.success() {
                self.complaints
                    .push(format!("{victim}, told to end, ended with {status}"));
            }
        }
        self.pause(DOWN).await;
        for victim in victims {
            self.stage.cluster.restart(victim).await?;
        }
        Ok(())
    }

    async fn restart_postgres(&mut self, how: Shutdown) -> Result<(), Error> {
        if let Some(postgres) = &mut self.stage.postgres {
            postgres.stop(how).await?;
        }
        self.pause(DOWN).await;
        if let Some(postgres) = &mut self.stage.postgres {
            postgres.start_again().await?;
        }
        Ok(())
    }
}
