//! The disk fails under LMDB: its files are swapped for `/dev/full`, on which
//! every write fails.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd};

use super::*;

/// `O_DSYNC`, as `/proc` tells it: LMDB writes its meta page through such a file.
const DSYNC: u32 = 0o10_000;

/// A file of LMDB's that fails until this is dropped.
struct Failing {
    file: ManuallyDrop<OwnedFd>,
    good: OwnedFd,
}

impl Failing {
    /// Takes the file by which data pages are written, or the one for the meta page.
    fn new(storage: &LmdbStorage, meta: bool) -> Self {
        let data = storage.handle.listed.0.join("data.mdb");
        let number = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|found| found.unwrap().file_name().to_str()?.parse().ok())
            .filter(|number: &i32| {
                std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|to| to == data)
            })
            .find(|number| {
                let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
                let flags = info
                    .lines()
                    .find_map(|line| line.strip_prefix("flags:"))
                    .unwrap();
                let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
                (flags & DSYNC != 0) == meta
            })
            .expect("LMDB has the file open");
        #[allow(
            unsafe_code,
            reason = "the descriptor is LMDB's, open as long as the storage, and never closed from here"
        )]
        let mut file = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        let good = file.try_clone().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        rustix::io::dup2(&full, &mut file).unwrap();
        Self { file, good }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        rustix::io::dup2(&self.good, &mut self.file).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_definite_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let (a, b) = (id("a"), id("b"));
    let (ea, eb) = (claim(&storage, &a).await, claim(&storage, &b).await);
    assert!(matches!(
        storage.append(commit(&a, ea, 0, 100)).await,
        AppendOutcome::Committed(_)
    ));

    let failing = Failing::new(&storage, false);
    let outcomes = storage
        .append_many(vec![commit(&a, ea, 1, 100), commit(&b, eb, 0, 100_000)])
        .await;
    for outcome in outcomes {
        let AppendOutcome::Failed(error) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.is_retryable());
    }
    let error = storage.renew_node(&cluster(), NODE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    // Reads go on, and see nothing of it.
    assert_eq!(
        storage.head(&a).await.unwrap().unwrap().revision,
        Revision(1)
    );
    assert_eq!(
        storage.head(&b).await.unwrap().unwrap().revision,
        Revision(0)
    );

    drop(failing);
    assert!(matches!(
        storage.append(commit(&a, ea, 1, 100)).await,
        AppendOutcome::Committed(Revision(2))
    ));
    assert_eq!(storage.read_thread(&a, Seq(0), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_commit_that_fails_half_way_is_unknown_and_a_new_epoch_settles_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let a = id("a");
    let epoch = claim(&storage, &a).await;
    assert!(matches!(
        storage.append(commit(&a, epoch, 0, 100)).await,
        AppendOutcome::Committed(_)
    ));

    let failing = Failing::new(&storage, true);
    let outcome = storage.append(commit(&a, epoch, 1, 100)).await;
    assert!(matches!(outcome, AppendOutcome::Unknown(_)), "{outcome:?}");
    drop(failing);
    // LMDB takes nothing more in this process, and that is said.
    let outcome = storage.append(commit(&a, epoch, 1, 100)).await;
    assert!(
        matches!(&outcome, AppendOutcome::Failed(e) if e.kind() == ErrorKind::Unavailable),
        "{outcome:?}"
    );
    assert_eq!(
        storage.load(&a).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );

    drop(storage);
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let second = claim(&storage, &a).await;
    assert!(second > epoch);
    let head = storage.head(&a).await.unwrap().unwrap();
    let thread = storage.read_thread(&a, Seq(0), 9).await.unwrap();
    assert!((1..=2).contains(&head.revision.0));
    assert_eq!(thread.len() as u64, head.revision.0, "all of it or nothing");
    let outcome = storage
        .append(commit(&a, epoch, head.revision.0, 100))
        .await;
    assert!(
        matches!(outcome, AppendOutcome::Fenced { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_commit_that_fails_while_readers_have_no_slot_left_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let options = LmdbOptions {
        max_readers: 1,
        ..LmdbOptions::new()
    };
    let storage = options.open(folder.path()).unwrap();
    register(&storage).await;
    let a = id("a");
    let epoch = claim(&storage, &a).await;
    // This thread has the one slot from now on.
    storage.head(&a).await.unwrap();
    let refused = std::thread::scope(|scope| {
        let other = scope.spawn(|| storage.handle.env.read(|_, _| Ok(())));
        other.join().unwrap()
    });
    let full = heed::Error::Mdb(heed::MdbError::ReadersFull);
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, Fault::Engine(error) if error.to_string() == full.to_string()),
        "{refused:?}"
    );

    let failing = Failing::new(&storage, true);
    let outcome = storage.append(commit(&a, epoch, 0, 100)).await;
    assert!(matches!(outcome, AppendOutcome::Unknown(_)), "{outcome:?}");
    drop(failing);
    let outcome = storage.append(commit(&a, epoch, 0, 100)).await;
    assert!(
        matches!(&outcome, AppendOutcome::Failed(e) if e.kind() == ErrorKind::Unavailable),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn every_commit_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let flags = storage.handle.env.flags();
    let unsafe_flags = heed::EnvFlags::NO_SYNC
        | heed::EnvFlags::NO_META_SYNC
        | heed::EnvFlags::MAP_ASYNC
        | heed::EnvFlags::WRITE_MAP
        | heed::EnvFlags::NO_LOCK;
    assert_eq!(flags & unsafe_flags.bits(), 0, "flags {flags:o}");
}
