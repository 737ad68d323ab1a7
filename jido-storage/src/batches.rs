//! Who is told of batches.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Counts the batches that a storage makes.
pub trait BatchWatcher: Debug + Send + Sync + 'static {
    /// A batch of so many operations goes its way; none has its outcome yet. It must neither
    /// block nor panic.
    fn batch(&self, operations: usize);
}

/// The watchers of one maker of batches, each for as long as whoever gave it keeps it.
#[derive(Debug, Default)]
pub(crate) struct BatchWatchers(Mutex<Vec<Weak<dyn BatchWatcher>>>);

impl BatchWatchers {
    /// Tells this one too, once for each batch however often it is given.
    pub(crate) fn add(&self, watcher: &Arc<dyn BatchWatcher>) {
        let watcher = Arc::downgrade(watcher);
        let mut watchers = self.0.lock();
        watchers.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&watcher));
        watchers.push(watcher);
    }

    pub(crate) fn tell(&self, operations: usize) {
        for watcher in self.0.lock().iter().filter_map(Weak::upgrade) {
            watcher.batch(operations);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Sum(AtomicUsize);

    impl BatchWatcher for Sum {
        fn batch(&self, operations: usize) {
            self.0.fetch_add(operations, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_is_told_once_of_a_batch_for_as_long_as_it_is_kept() {
        let watchers = BatchWatchers::default();
        let sums = [(); 2].map(|()| Arc::new(Sum::default()));
        let [first, second] = sums.clone().map(|sum| -> Arc<dyn BatchWatcher> { sum });
        watchers.add(&first);
        watchers.add(&second);
        watchers.add(&first);
        watchers.tell(3);
        let [first_sum, second_sum] = sums;
        assert_eq!(second_sum.0.load(Ordering::Relaxed), 3);
        drop((second, second_sum));
        watchers.tell(4);
        assert_eq!(first_sum.0.load(Ordering::Relaxed), 7);
        assert_eq!(
            watchers.0.lock().iter().filter_map(Weak::upgrade).count(),
            1
        );
    }
}
