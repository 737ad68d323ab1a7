//! Panics of what is simulated: tasks and actors catch them, and nobody else would hear of them.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    /// What has panicked on this thread since a watch began; none while there is none.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Watches for panics on this thread until it is dropped. A simulation lives on one thread, and
/// others may go on beside it.
pub(super) struct Watch(());

impl Watch {
    /// The first one adds to the process's hook, which goes on to tell of every panic as it did.
    pub(super) fn begin() -> Self {
        HOOK.call_once(|| {
            let former = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                see(panic);
                former(panic);
            }));
        });
        SEEN.set(Some(Vec::new()));
        Self(())
    }

    /// What has panicked so far, in words. What unwinds without a call of the hook is no such
    /// panic: that is how agents fail that are asked to.
    pub(super) fn seen(&self) -> Vec<String> {
        SEEN.with_borrow(|seen| seen.clone().unwrap_or_default())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        SEEN.set(None);
    }
}

fn see(panic: &PanicHookInfo<'_>) {
    // A hook must not panic itself, not even on a thread that is about to end.
    let _ = SEEN.try_with(|seen| {
        if let Ok(mut seen) = seen.try_borrow_mut()
            && let Some(seen) = seen.as_mut()
        {
            seen.push(panic.to_string().replace('\n', " "));
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use crate::sim::simulate;
    use crate::wiring;

    #[test]
    fn whatever_panics_is_told_of_and_the_simulation_goes_on() {
        let happened = Arc::new(AtomicBool::new(false));
        let ((), traced) = simulate(1, false, async |world| {
            let task = wiring::spawn(async { panic!("a task fell") });
            assert!(task.await.is_err());
            world.after(Duration::from_millis(1), || panic!("an event fell"));
            let happened = happened.clone();
            world.after(Duration::from_millis(2), move || {
                happened.store(true, Ordering::Relaxed);
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
        })
        .unwrap();
        assert!(happened.load(Ordering::Relaxed));
        let [task, event] = &traced.panics[..] else {
            panic!("{:?}", traced.panics);
        };
        assert!(
            task.contains("a task fell") && task.contains(file!()),
            "{task}"
        );
        assert!(event.contains("an event fell"), "{event}");
    }

    #[test]
    fn an_agent_that_is_asked_to_fail_is_none_and_neither_is_another_thread() {
        let ((), traced) = simulate(1, false, async |_| {
            let planned = wiring::spawn(async {
                std::panic::resume_unwind(Box::new("as it was asked to"));
            });
            assert!(planned.await.is_err());
            let other = std::thread::scope(|scope| scope.spawn(|| panic!("elsewhere")).join());
            assert!(other.is_err());
        })
        .unwrap();
        assert_eq!(traced.panics, Vec::<String>::new());
    }
}
