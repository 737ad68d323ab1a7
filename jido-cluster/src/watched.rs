//! A value that tasks wait for, and that wakes them in the order in which they began to.
//!
//! tokio's `watch` spreads those who wait over several lists, and wakes these in a random
//! order. Here one seed has to give one run, so that whoever waits first goes on first.

use std::fmt;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A small value and those who wait for it to become another.
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    /// The value now.
    pub(crate) fn get(&self) -> T {
        *self.value.lock()
    }

    /// Replaces the value by what `next` makes of it; leaves it where that is none.
    pub(crate) fn update(&self, next: impl FnOnce(T) -> Option<T>) {
        let mut value = self.value.lock();
        let Some(next) = next(*value) else { return };
        *value = next;
        drop(value);
        self.changed.notify_waiters();
    }

    /// Waits until the value is one that is wanted. One that it is only between two turns
    /// of the waiting task is missed.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(T) -> bool) -> T {
        loop {
            // Before the look at the value, so that no change is missed after it.
            let changed = self.changed.notified();
            let value = self.get();
            if wanted(value) {
                return value;
            }
            changed.await;
        }
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime;

    #[tokio::test]
    async fn those_who_wait_go_on_in_the_order_in_which_they_began_to() {
        // More than tokio wakes in one go, and than `watch` has lists.
        const WAITERS: usize = 100;
        let value = Arc::new(Watched::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let looks = Arc::new(Mutex::new(0));
        let all_have_looked = async |times: usize| {
            while *looks.lock() < times * WAITERS {
                tokio::task::yield_now().await;
            }
        };
        let mut tasks = Vec::new();
        for number in 0..WAITERS {
            let (value, order, looks) = (value.clone(), order.clone(), looks.clone());
            tasks.push(runtime::spawn(async move {
                let is_wanted = |value| {
                    *looks.lock() += 1;
                    value > 1
                };
                let seen = value.wait_for(is_wanted).await;
                order.lock().push((number, seen));
            }));
        }
        all_have_looked(1).await;
        // Nobody wants this one, and all wait on in the same order.
        value.update(|_| Some(1));
        all_have_looked(2).await;
        value.update(|_| Some(2));
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<_> = (0..WAITERS).map(|number| (number, 2)).collect();
        assert_eq!(*order.lock(), expected);
    }

    #[tokio::test]
    async fn a_change_between_two_looks_is_not_missed() {
        let value = Watched::new(0);
        let waiting = value.wait_for(|value| value == 1);
        // Before it is looked at for the first time.
        value.update(|_| Some(1));
        assert_eq!(waiting.await, 1);
    }

    #[test]
    fn a_value_may_be_left_as_it_is() {
        let value = Watched::new(3);
        value.update(|_| None);
        assert_eq!(value.get(), 3);
        value.update(|value| Some(value + 1));
        assert_eq!(value.get(), 4);
        assert_eq!(format!("{value:?}"), "Watched(4)");
    }
}
