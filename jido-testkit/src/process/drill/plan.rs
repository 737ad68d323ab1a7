//! What a drill does, drawn from its seed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use jido_core::Labels;
use serde::{Serialize, Serializer};

use super::spread::millis;
use crate::{Error, ErrorKind};

/// How long clients work before the zone is killed, at the least and the most.
const CALM: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));

/// How long the zone stays away once its agents run elsewhere, at the least and the most.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// What a plan is drawn within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What everything is drawn from that is not said here.
    pub seed: u64,
    /// The zones, by name: two or more.
    pub zones: Vec<String>,
    /// How many nodes each of them has: 1 or more.
    pub nodes_per_zone: usize,
    /// The zones that agents are placed in while one of them has a node; all where none is
    /// given.
    pub preferred: Vec<String>,
    /// How many agents there are: 1 or more.
    pub agents: usize,
    /// How many clients there are: 1 or more, and at least one for each zone with agents.
    pub clients: usize,
    /// How many of a hundred calls are reads, up to 100; the others are increments.
    pub reads: u32,
    /// The zone that is killed; by default one that is drawn of those that agents are
    /// placed in.
    pub kill: Option<String>,
    /// How long clients work before that; by default 2 to 4 s.
    pub calm: Option<Duration>,
    /// How long the zone stays away once its agents run elsewhere; by default 1 to 3 s.
    pub away: Option<Duration>,
}

impl Settings {
    /// Zones `a`, `b` and `c` with a node each, 120 agents, 24 clients, and a read in five
    /// calls.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            zones: ["a", "b", "c"].map(str::to_owned).to_vec(),
            nodes_per_zone: 1,
            preferred: Vec::new(),
            agents: 120,
            clients: 24,
            reads: 20,
            kill: None,
            calm: None,
            away: None,
        }
    }
}

/// A zone and its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// The names of its nodes.
    pub nodes: Vec<String>,
}

/// What a drill does. The same settings give the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// All zones.
    pub zones: Vec<Zone>,
    /// Those that agents are placed in while one of them has a node.
    pub preferred: Vec<String>,
    /// The agents' keys. Where each is placed follows from them and the nodes' names.
    pub keys: Vec<String>,
    /// How many clients there are.
    pub clients: usize,
    /// How many of a hundred calls are reads.
    pub reads: u32,
    /// What clients' choices are drawn from.
    pub client_seed: u64,
    /// The zone that is killed.
    pub killed: Zone,
    /// How long clients work before that.
    #[serde(rename = "calm_ms", serialize_with = "in_millis")]
    pub calm: Duration,
    /// How long the zone stays away once its agents run elsewhere.
    #[serde(rename = "away_ms", serialize_with = "in_millis")]
    pub away: Duration,
}

fn in_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*time))
}

impl Plan {
    /// Draws a plan.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the settings break a rule, which the
    /// message names.
    pub fn draw(settings: &Settings) -> Result<Self, Error> {
        check(settings)?;
        let zones = zones(settings);
        let preferred = match settings.preferred.is_empty() {
            true => settings.zones.clone(),
            false => settings.preferred.clone(),
        };
        // Everything is drawn, also what is given: so one setting changes nothing else.
        let mut rng = Rng::with_seed(settings.seed);
        let prefix = rng.u32(..);
        let drawn = &preferred[rng.usize(..preferred.len())];
        let (calm, away) = (between(&mut rng, CALM), between(&mut rng, AWAY));
        let killed = settings.kill.as_ref().unwrap_or(drawn);
        let killed = zones.iter().find(|zone| zone.name == *killed).cloned();
        Ok(Self {
            seed: settings.seed,
            preferred,
            keys: (0..settings.agents)
                .map(|number| format!("{prefix:08x}-{number}"))
                .collect(),
            clients: settings.clients,
            reads: settings.reads,
            client_seed: rng.u64(..),
            killed: killed.ok_or_else(|| invalid("the zone to kill is none of the zones"))?,
            calm: settings.calm.unwrap_or(calm),
            away: settings.away.unwrap_or(away),
            zones,
        })
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.zones.iter().map(|zone| zone.nodes.len()).sum()
    }

    /// The names of the nodes that are not killed.
    pub fn survivors(&self) -> impl Iterator<Item = &String> {
        let zones = self.zones.iter().filter(|zone| **zone != self.killed);
        zones.flat_map(|zone| &zone.nodes)
    }
}

/// Nodes are named as a cluster of processes names them, zone by zone.
fn zones(settings: &Settings) -> Vec<Zone> {
    let mut nodes = (1..).map(|number| format!("n{number}"));
    let zones = settings.zones.iter().map(|name| Zone {
        name: name.clone(),
        nodes: nodes.by_ref().take(settings.nodes_per_zone).collect(),
    });
    zones.collect()
}

fn between(rng: &mut Rng, (least, most): (Duration, Duration)) -> Duration {
    let millis = rng.u64(least.as_millis() as u64..=most.as_millis() as u64);
    Duration::from_millis(millis)
}

fn check(settings: &Settings) -> Result<(), Error> {
    let zones: BTreeSet<&String> = settings.zones.iter().collect();
    if settings.zones.len() < 2 || zones.len() < settings.zones.len() {
        return Err(invalid("there are two or more zones, of different names"));
    }
    for zone in &settings.zones {
        Labels::new()
            .with_zone(zone)
            .map_err(|error| invalid(&error.to_string()))?;
    }
    let named = settings.preferred.iter().chain(&settings.kill);
    for zone in named {
        if !zones.contains(zone) {
            return Err(invalid(&format!("{zone:?} is none of the zones")));
        }
    }
    let counts = [
        ("nodes of a zone", settings.nodes_per_zone),
        ("agents", settings.agents),
        ("clients", settings.clients),
    ];
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((what, _)) => Err(invalid(&format!("{what}: at least 1 is needed"))),
        None if settings.reads > 100 => Err(invalid("reads are 0 to 100 of a hundred calls")),
        None => Ok(()),
    }
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, why)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: zones", self.seed)?;
        for (at, zone) in self.zones.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma} {} ({})", zone.name, zone.nodes.join(" "))?;
        }
        let (first, last) = (self.keys.first(), self.keys.last());
        write!(
            f,
            "\n  {} agents, {} to {}, placed in zones {}",
            self.keys.len(),
            first.map_or("", String::as_str),
            last.map_or("", String::as_str),
            self.preferred.join(", ")
        )?;
        write!(
            f,
            "\n  {} clients, {} of 100 calls are reads, drawn from {}",
            self.clients, self.reads, self.client_seed
        )?;
        write!(
            f,
            "\n  zone {} is killed after {:?} of load, and comes back {:?} after its agents \
             run elsewhere",
            self.killed.name, self.calm, self.away
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(settings: &Settings) -> Plan {
        Plan::draw(settings).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_others_do_not() {
        let plans: Vec<Plan> = (0..50).map(|seed| drawn(&Settings::new(seed))).collect();
        for (seed, plan) in (0..).zip(&plans) {
            assert_eq!(*plan, drawn(&Settings::new(seed)));
            assert_eq!(plan.to_string(), drawn(&Settings::new(seed)).to_string());
            assert!((CALM.0..=CALM.1).contains(&plan.calm), "{plan}");
            assert!((AWAY.0..=AWAY.1).contains(&plan.away), "{plan}");
        }
        let killed: BTreeSet<&str> = plans.iter().map(|plan| &*plan.killed.name).collect();
        assert_eq!(killed, BTreeSet::from(["a", "b", "c"]));
        let keys: BTreeSet<&String> = plans.iter().flat_map(|plan| &plan.keys).collect();
        assert_eq!(keys.len(), 50 * 120);
        let seeds: BTreeSet<u64> = plans.iter().map(|plan| plan.client_seed).collect();
        assert_eq!(seeds.len(), 50);
    }

    #[test]
    fn a_plan_of_a_seed_stays_what_it_is() {
        // A change of this changes what every seed does.
        let plan = drawn(&Settings::new(7));
        assert_eq!((&*plan.killed.name, &*plan.keys[0]), ("a", "707e7291-0"));
        assert_eq!(plan.client_seed, 2_148_687_651_783_032_108);
        assert_eq!(
            (plan.calm.as_millis(), plan.away.as_millis()),
            (3_437, 1_962)
        );
    }

    #[test]
    fn what_is_given_is_taken_and_changes_nothing_else() {
        let settings = Settings::new(3);
        let plan = drawn(&settings);
        let other = plan
            .zones
            .iter()
            .find(|zone| **zone != plan.killed)
            .unwrap();
        let given = Settings {
            kill: Some(other.name.clone()),
            calm: Some(Duration::from_millis(10)),
            away: Some(Duration::from_millis(20)),
            ..settings
        };
        let expected = Plan {
            killed: other.clone(),
            calm: Duration::from_millis(10),
            away: Duration::from_millis(20),
            ..plan
        };
        assert_eq!(drawn(&given), expected);
    }

    #[test]
    fn only_a_zone_that_has_agents_is_drawn_and_nodes_are_named_in_order() {
        for seed in 0..20 {
            let plan = drawn(&Settings {
                zones: ["x", "y", "z"].map(str::to_owned).to_vec(),
                nodes_per_zone: 2,
                preferred: vec!["y".to_owned()],
                ..Settings::new(seed)
            });
            assert_eq!(plan.killed.name, "y");
            assert_eq!(plan.killed.nodes, ["n3", "n4"]);
            assert_eq!(plan.nodes(), 6);
            let survivors: Vec<&String> = plan.survivors().collect();
            assert_eq!(survivors, ["n1", "n2", "n5", "n6"]);
        }
    }

    #[test]
    fn what_can_not_be_drilled_is_refused() {
        let of = |zones: &[&str]| zones.iter().map(|zone| (*zone).to_owned()).collect();
        let good = || Settings::new(1);
        for (settings, why) in [
            (
                Settings {
                    zones: of(&["a"]),
                    ..good()
                },
                "two or more",
            ),
            (
                Settings {
                    zones: of(&["a", "b", "a"]),
                    ..good()
                },
                "different",
            ),
            (
                Settings {
                    zones: of(&["a", "b c"]),
                    ..good()
                },
                "zone",
            ),
            (
                Settings {
                    kill: Some("d".to_owned()),
                    ..good()
                },
                "\"d\"",
            ),
            (
                Settings {
                    preferred: of(&["a", "e"]),
                    ..good()
                },
                "\"e\"",
            ),
            (
                Settings {
                    nodes_per_zone: 0,
                    ..good()
                },
                "nodes of a zone",
            ),
            (
                Settings {
                    agents: 0,
                    ..good()
                },
                "agents",
            ),
            (
                Settings {
                    clients: 0,
                    ..good()
                },
                "clients",
            ),
            (
                Settings {
                    reads: 101,
                    ..good()
                },
                "reads",
            ),
        ] {
            let error = Plan::draw(&settings).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
