//! Several processes at once, and processes that are killed: rules 1, 2 and 3.
//!
//! A child is the test program itself, started once more with one test alone, which
//! calls [`child`]. It tells its parent line by line on stderr what was acknowledged.

mod process;
mod roles;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use jido_core::Epoch;

use self::process::Process;
pub use self::roles::child;
use super::case::{Case, Needs, Rule};
use super::fixture::id;
use super::stage::Stage;
use super::witness::{check, take};

pub(super) const CASES: &[Case] = &[
    Case::over(
        concat!(
            module_path!(),
            "::every_revision_has_one_writer_among_processes"
        ),
        Rule::Whole,
        Needs::SHARED,
        every_revision_has_one_writer_among_processes,
    ),
    Case::over(
        concat!(
            module_path!(),
            "::what_was_acknowledged_before_a_kill_is_found"
        ),
        Rule::Durable,
        Needs::KILLED,
        what_was_acknowledged_before_a_kill_is_found,
    ),
];

const PROCESSES: u64 = 3;
const KILLS: u64 = 4;
/// The first life of who looks at what a killed process has left.
const ONLOOKER: u128 = 1 << 100;

type Run<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Places = BTreeMap<(String, u64), Epoch>;

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("a child told {word:?} for a number"))
}

fn every_revision_has_one_writer_among_processes<'a>(stage: &'a Stage<'_>) -> Run<'a> {
    Box::pin(async move {
        let place = stage.place();
        let world = stage.open(&place).await;
        let children: Vec<_> = (0..PROCESSES)
            .map(|at| {
                let process = Process::start(stage, roles::RACE, &place, at);
                tokio::task::spawn_blocking(move || process.told_until_a_good_end())
            })
            .collect();
        let (mut claims, mut commits) = (Places::new(), Places::new());
        let mut named = 0;
        for child in children {
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            for line in child.await.unwrap() {
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["named"] => named += 1,
                    ["claimed", key, epoch] => {
                        let epoch = number(epoch);
                        let before = last.insert(key.into(), epoch).unwrap_or(0);
                        assert!(epoch > before, "epoch {epoch} of {key} after {before}");
                        let twice = claims.insert((key.into(), epoch), Epoch(epoch));
                        assert!(twice.is_none(), "epoch {epoch} of {key} was given twice");
                    }
                    ["committed", key, epoch, revision] => {
                        let at = (key.to_owned(), number(revision));
                        let twice = commits.insert(at, Epoch(number(epoch)));
                        assert!(twice.is_none(), "committed twice: {line}");
                    }
                    _ => panic!("a child told {line:?}"),
                }
            }
        }
        assert_eq!(named, 1, "processes that got one node's name");
        assert_eq!(
            claims.len() as u64,
            PROCESSES * roles::ROUNDS,
            "epochs that were given"
        );
        let mut found = 0;
        for n in 0..roles::AGENTS {
            let key = format!("a{n}");
            for (at, epoch) in check(&world, &id(&key)).await.iter().enumerate() {
                let place = (key.clone(), at as u64 + 1);
                assert_eq!(
                    commits.get(&place),
                    Some(epoch),
                    "{place:?} as it was acknowledged"
                );
                found += 1;
            }
        }
        assert_eq!(found, commits.len(), "acknowledged and found differ");
        assert!(found > 20, "hardly anything was committed: {found}");
    })
}

fn what_was_acknowledged_before_a_kill_is_found<'a>(stage: &'a Stage<'_>) -> Run<'a> {
    Box::pin(async move {
        let place = stage.place();
        let mut acknowledged = Places::new();
        for round in 0..KILLS {
            let process = Process::start(stage, roles::APPEND, &place, round);
            // Not always at the same place of a commit.
            let lines = 5 + (round * 37 % 40) as usize;
            let told = tokio::task::spawn_blocking(move || process.told_until_killed(lines));
            for line in told.await.unwrap() {
                let ["committed", key, epoch, revision] = line.split(' ').collect::<Vec<_>>()[..]
                else {
                    panic!("a child told {line:?}")
                };
                let at = (key.to_owned(), number(revision));
                let twice = acknowledged.insert(at, Epoch(number(epoch)));
                assert!(twice.is_none(), "acknowledged twice: {line}");
            }
            let world = stage.open(&place).await;
            let me = world.node(ONLOOKER + u128::from(round)).await;
            let mut stored = BTreeMap::new();
            for n in 0..roles::AGENTS {
                let key = format!("a{n}");
                // What the child had under way may come late: not after a claim.
                take(&world, &id(&key), me).await;
                stored.insert(key.clone(), check(&world, &id(&key)).await);
            }
            for ((key, revision), epoch) in &acknowledged {
                let found = stored[key].get(*revision as usize - 1);
                assert_eq!(
                    found,
                    Some(epoch),
                    "after kill {round}: {key} at revision {revision}"
                );
            }
        }
    })
}
