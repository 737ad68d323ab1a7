//! Three nodes in namespaces on one Postgres server, and a load on them.

use std::time::{Duration, Instant, SystemTime};

use jido_testkit::counters;
use jido_testkit::postgres::TemporaryPostgres;
use jido_testkit::process::{
    DemoClient, Load, LoadOptions, Namespaces, ProcessCluster, ProcessNode,
};

use crate::cuts::Cut;
use crate::figures::Figures;
use crate::{losses, stored};

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

/// A lease that isn't missed by a process that waits for its turn on a busy machine.
const LEASE: Duration = Duration::from_secs(5);

/// How soon a silent peer has to be found.
const FOUND_WITHIN: Duration = Duration::from_millis(2_500);

/// Not because of something else, which would have been sooner.
const FOUND_BY_SILENCE: Duration = Duration::from_secs(1);

/// How soon after the cut has healed all nodes have to serve all keys.
const SERVED_WITHIN: Duration = LEASE.saturating_mul(3);

/// So often is tried what a machine with much else to do may be late for now and then, but
/// not always.
const ATTEMPTS: usize = 4;

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(30);

const CLIENTS: usize = 24;

/// How long half of the clients wait for an answer: of what takes longer they never learn what came of it.
const IMPATIENT: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    keys: Vec<String>,
    figures: Figures,
    load: Load,
    cluster: ProcessCluster,
    postgres: TemporaryPostgres,
    /// The last to go: the thread stands in it.
    network: Namespaces,
}

impl Stage {
    pub(crate) async fn start(takeover: &str, reads: u32) -> Self {
        let network = Namespaces::new(3).unwrap();
        let postgres = TemporaryPostgres::builder()
            .own()
            .listen(network.storage())
            .start()
            .await
            .unwrap();
        let lease = format!("{}s", LEASE.as_secs());
        let cluster = ProcessCluster::builder(PROGRAM)
            .nodes(3)
            .namespaces(&network)
            .storage(postgres.url())
            .args([
                "--plain-text",
                "--takeover",
                takeover,
                "--lease-ttl",
                &lease,
            ])
            .start()
            .await
            .unwrap();
        cluster.wait_joined().await.unwrap();
        let numbered = |name: &str| (0..30).map(|number| format!("{name}-{number}")).collect();
        let (with_ids, plain): (Vec<String>, Vec<String>) =
            (numbered("with-id"), numbered("plain"));
        let clients = cluster.nodes().iter().map(ProcessNode::client);
        let impatient = clients.map(|client| client.with_timeout(IMPATIENT));
        let load = Load::start(LoadOptions {
            nodes: [cluster.clients(), impatient.collect()].concat(),
            clients: CLIENTS,
            keys: with_ids.clone(),
            plain_keys: plain.clone(),
            reads,
            seed: 6,
            // So that a client goes on to other keys while nobody serves one.
            patience: Duration::from_secs(1),
        })
        .unwrap();
        let stage = Self {
            keys: [with_ids, plain].concat(),
            figures: Figures::default(),
            load,
            cluster,
            postgres,
            network,
        };
        let (nodes, started) = (stage.cluster.clients(), Instant::now());
        let took = stage
            .load
            .sweep(&nodes, &stage.keys, started, LIMIT)
            .await
            .unwrap();
        println!("takeover {takeover}: all nodes serve all keys {took:.2?} after the start");
        stage
    }

    /// Cuts, waits until everybody who loses somebody has found out, keeps it cut for so long, and heals.
    pub(crate) async fn run(&mut self, cut: &Cut, hold: Duration) {
        println!("---- {}", cut.name);
        self.figures.since_last(&self.load);
        let since = self.cut_until_found(cut).await;
        println!("until it is found: {}", self.figures.since_last(&self.load));

        let held = Instant::now();
        if !cut.take_over.is_empty() {
            let nodes: Vec<DemoClient> =
                cut.take_over.iter().map(|name| self.client(name)).collect();
            let took = self
                .load
                .sweep(&nodes, &self.keys, since, SERVED_WITHIN)
                .await
                .unwrap();
            println!(
                "{:?} serve all keys {took:.2?} after the cut",
                cut.take_over
            );
        }
        for (asked, owner) in cut.relayed.iter().chain(cut.served) {
            let keys: Vec<String> = self.load.answered_by(owner).into_keys().collect();
            assert!(!keys.is_empty(), "{owner} has no keys");
            let nodes = [self.client(asked)];
            let took = self.load.sweep(&nodes, &keys, Instant::now(), LIMIT).await;
            let took = took.unwrap_or_else(|error| panic!("{asked} from {owner}: {error}"));
            println!(
                "{asked} serves {} keys of {owner} in {took:.2?}",
                keys.len()
            );
        }
        tokio::time::sleep(hold.saturating_sub(held.elapsed()).max(hold / 2)).await;
        let figures = self.figures.since_last(&self.load);
        println!("while it is cut: {figures}");
        for (asked, owner) in cut.relayed {
            let relayed = figures.by_way_of(asked, owner);
            println!("relayed for {asked} from {owner}: {relayed}");
            assert!(relayed > 0, "{}: {figures}", cut.name);
        }

        let healed = Instant::now();
        self.network.heal().unwrap();
        let nodes = self.cluster.clients();
        let took = self
            .load
            .sweep(&nodes, &self.keys, healed, SERVED_WITHIN)
            .await;
        println!(
            "all nodes serve all keys {:.2?} after it has healed",
            took.unwrap()
        );
        self.cluster.wait_joined().await.unwrap();
        println!(
            "all are members again {:.2?} after it has healed",
            healed.elapsed()
        );
        println!("until then: {}", self.figures.since_last(&self.load));
    }

    fn client(&self, name: &str) -> DemoClient {
        self.cluster.client(name).unwrap()
    }

    /// Cuts, until it was found out in time; gives when that was.
    async fn cut_until_found(&mut self, cut: &Cut) -> Instant {
        let mut late = Vec::new();
        while late.len() < ATTEMPTS {
            self.cluster.wait_joined().await.unwrap();
            // Before the rules are there.
            let (wall, since) = (SystemTime::now(), Instant::now());
            for (from, to) in cut.ways {
                self.network.cut(*from, *to).unwrap();
            }
            let took = self.found(cut, wall).await;
            if !took.is_empty() {
                println!("found after {took:.2?} by {:?}", cut.losses);
            }
            let by_silence = took.iter().all(|took| *took >= FOUND_BY_SILENCE);
            assert!(by_silence, "{}: {took:?}", cut.name);
            if took.iter().all(|took| *took <= FOUND_WITHIN) {
                return since;
            }
            late.push(took);
            self.network.heal().unwrap();
        }
        panic!("{}: found too late: {late:?}", cut.name);
    }

    /// After how long each of those who lose somebody has found out.
    async fn found(&self, cut: &Cut, since: SystemTime) -> Vec<Duration> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let pairs = cut.losses.iter();
            let found = pairs.map(|pair| losses::found_after(&self.cluster, *pair, since));
            let found: Vec<Option<Duration>> = found.collect();
            if let Some(all) = found.iter().copied().collect() {
                return all;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {:?} found out after {found:?}",
                cut.name,
                cut.losses
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Holds what the clients saw against what Postgres holds, and that against what the nodes answer.
    pub(crate) async fn judge(self) {
        let report = self.load.stop().await.unwrap();
        let keys = report.history.by_key();
        let stored = stored::counts(self.postgres.url(), keys.into_keys()).await;
        let verdict = counters::check(&report.history, &stored);
        println!("{verdict}");
        println!(
            "failed {}, tried again {}",
            report.counts.failed, report.counts.refused
        );
        assert!(verdict.is_good(), "{verdict}\n{:#?}", report.errors);
        assert_eq!(verdict.keys, 60, "{verdict}");
        assert!(verdict.acknowledged > 500, "{verdict}");
        for node in self.cluster.nodes() {
            for (key, count) in &stored {
                let reply = node.client().get(key).await.unwrap();
                assert_eq!(reply.value, *count, "{reply:?}");
            }
        }
    }
}
