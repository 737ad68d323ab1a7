//! Nodes whose packets to each other, or to Postgres, are dropped without a word while clients work:
//! how soon they find out, that nothing acknowledged is lost or doubled, and how soon all is well
//! afterwards. Seconds a cut, with `JIDO_LONG=1` minutes.
//!
//! What can't be done on this machine is skipped, and says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this is a test program, and real processes live by the real clock"
)]

mod cuts;
mod figures;
mod losses;
mod stage;
mod stored;

use std::future::Future;
use std::time::Duration;

use jido_testkit::process::Namespaces;
use libtest_mimic::{Arguments, Failed, Trial};

use cuts::{BRIDGE, CUT_OFF, Cut, ONE_WAY, SYMMETRIC, SYMMETRIC_ON_DISCONNECT, UNANSWERED};
use stage::Stage;

fn main() {
    let missing = Namespaces::missing();
    let trials = vec![
        trial(
            "nodes_that_are_cut_from_each_other",
            missing.is_some(),
            nodes_that_are_cut_from_each_other,
        ),
        trial(
            "a_node_that_is_cut_from_postgres",
            missing.is_some(),
            a_node_that_is_cut_from_postgres,
        ),
        trial(
            "a_cut_with_takeover_on_disconnect",
            missing.is_some(),
            a_cut_with_takeover_on_disconnect,
        ),
    ];
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, missing) {
        eprintln!("skipped: what needs network namespaces: {why}");
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial<F: Future<Output = ()>>(
    name: &str,
    skipped: bool,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let run = move || {
        // One thread, for it is the thread that stands in a namespace.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
        Ok::<(), Failed>(())
    };
    Trial::test(name, run).with_ignored_flag(skipped)
}

/// How long a cut lasts once it was found out.
fn hold() -> Duration {
    let long = std::env::var("JIDO_LONG").is_ok_and(|long| long == "1");
    Duration::from_secs(if long { 150 } else { 5 })
}

async fn nodes_that_are_cut_from_each_other() {
    after_lease(&[SYMMETRIC, ONE_WAY, BRIDGE]).await;
}

async fn a_node_that_is_cut_from_postgres() {
    after_lease(&[UNANSWERED, CUT_OFF]).await;
}

async fn after_lease(cuts: &[Cut]) {
    let mut stage = Stage::start("after-lease", 20).await;
    for cut in cuts {
        stage.run(cut, hold()).await;
    }
    stage.judge().await;
}

async fn a_cut_with_takeover_on_disconnect() {
    let mut stage = Stage::start("on-disconnect", 20).await;
    stage.run(&SYMMETRIC_ON_DISCONNECT, hold()).await;
    stage.judge().await;
}
