//! What the suite has to say of a flaw.

use std::collections::BTreeSet;
use std::sync::Arc;

use jido_storage::Storage;
use jido_storage::conformance::{Report, Rule, Suite};

use crate::double::{Flaw, Planted};

/// Runs the suite on an adapter with the flaw, where cases of each of these rules have to
/// fail, and on the same one with the flaw switched off, where none may.
pub(crate) async fn is_caught<F: Flaw>(plant: impl Fn(bool) -> F, rules: &[Rule]) {
    let run = async |on: bool| {
        let plant = &plant;
        let suite =
            Suite::new(
                move || async move { Arc::new(Planted::new(plant(on))) as Arc<dyn Storage> },
            );
        suite.report().await
    };
    let sound = run(false).await;
    without_backtraces();
    judge(&sound, &run(true).await, rules);
}

/// Cases panic by the hundred here, and each backtrace takes a while to be made.
#[allow(
    clippy::print_stderr,
    reason = "what a panic says is shown when a test fails"
)]
pub(crate) fn without_backtraces() {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

/// The verdict on both reports.
pub(crate) fn judge(sound: &Report, flawed: &Report, rules: &[Rule]) {
    assert_eq!(
        sound.failures().count(),
        0,
        "what fails is not the flaw, since without it: {sound}"
    );
    let failed: BTreeSet<Rule> = flawed.failures().map(|(case, _)| case.rule()).collect();
    for rule in rules {
        assert!(failed.contains(rule), "no case saw it of: {rule}\n{flawed}");
    }
}

mod tests {
    use super::*;

    #[derive(Debug)]
    struct None;

    impl Flaw for None {}

    /// A verdict on an adapter without a flaw is that the suite found nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    #[should_panic(expected = "no case saw it of: rule 1")]
    async fn without_a_flaw_nothing_is_caught() {
        is_caught(|_| None, &[Rule::Claim]).await;
    }
}
