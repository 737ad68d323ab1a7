//! Records that are corrupt, missing or of another version, and schemas.

use super::super::layout::{chunk, chunks};
use super::*;
use crate::Reminders;
use crate::record_codec::encode;

async fn filled(double: &Arc<Double>) -> (FoundationDbStorage, AgentId, Epoch) {
    let (storage, a, epoch) = ready(double).await;
    let mut full = note(&a, epoch, 0, 250_000);
    full.entries.extend(note(&a, epoch, 0, 5).entries);
    full.checkpoint = Some(checkpoint(vec![3; 150_000], 2));
    full.requests = vec![request(1, 1, "reply")];
    full.reminders = Some(Reminders {
        wake_at: Some(Timestamp(8)),
        list: vec![4; 150_000].into(),
    });
    full.thread_metadata.insert("title".into(), "x".into());
    let outcome = storage.append(full).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(1))),
        "{outcome:?}"
    );
    (storage, a, epoch)
}

#[tokio::test]
async fn each_record_that_is_corrupt_is_named_and_left() {
    let double = Double::new();
    let (storage, a, epoch) = filled(&double).await;
    let content = layout().content(&a);
    let good = double.everything();
    for (key, name) in [
        (layout().claim(&a), "the claim of agent"),
        (layout().state(&a), "the record of agent"),
        (chunk(&content.checkpoint(), 0), "the checkpoint"),
        (chunk(&content.checkpoint(), 1), "the checkpoint"),
        (chunk(&content.metadata(), 0), "the thread metadata"),
        (chunk(&content.reminders(), 0), "the reminders"),
        (chunk(&content.reminders(), 1), "the reminders"),
        (chunk(&content.entry(Seq(0)), 1), "entry 0"),
        (chunk(&content.entry(Seq(1)), 0), "entry 1"),
        (content.mark(RequestId::new(1, 1)), "the mark of request"),
        (
            chunk(&content.reply(RequestId::new(1, 1)), 0),
            "the record of request",
        ),
    ] {
        let mut bad = good[&key].clone();
        *bad.last_mut().unwrap() ^= 1;
        double.tamper(key.clone(), Some(bad.clone()));
        let mut errors: Vec<String> = Vec::new();
        let mut note = |kind: ErrorKind, text: String| {
            assert_eq!(kind, ErrorKind::Corrupt, "{text}");
            errors.push(text);
        };
        if let Err(error) = storage.load(&a).await {
            note(error.kind(), error.to_string());
        }
        if let Err(error) = storage.read_thread(&a, Seq(0), 10).await {
            note(error.kind(), error.to_string());
        }
        if let Err(error) = storage.reply_of(&a, RequestId::new(1, 1)).await {
            note(error.kind(), error.to_string());
        }
        assert!(
            errors.iter().any(|error| error.starts_with(name)),
            "{name}: {errors:?}"
        );
        assert_eq!(double.everything()[&key], bad, "{name} was written over");
        double.tamper(key.clone(), Some(good[&key].clone()));
    }
    // A neighbour's corrupt record fails its own commits only.
    let b = id("b");
    let epoch_of_b = claim(&storage, &b).await;
    double.tamper(layout().state(&a), Some(b"garbage".to_vec()));
    let outcomes = storage
        .append_many(vec![note(&a, epoch, 1, 1), note(&b, epoch_of_b, 0, 1)])
        .await;
    assert!(
        matches!(&outcomes[..], [AppendOutcome::Failed(error), AppendOutcome::Committed(_)]
            if error.kind() == ErrorKind::Corrupt),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_is_missing_is_corrupt() {
    let double = Double::new();
    let (storage, a, _) = filled(&double).await;
    let content = layout().content(&a);
    for key in [
        chunk(&content.entry(Seq(0)), 0),
        chunk(&content.entry(Seq(0)), 2),
        chunk(&content.entry(Seq(1)), 0),
    ] {
        let good = double.everything()[&key].clone();
        double.tamper(key.clone(), None);
        let error = storage.read_thread(&a, Seq(0), 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        double.tamper(key, Some(good));
    }
    let parts = (0..2).flat_map(|part| {
        [content.checkpoint(), content.reminders()].map(|behind| chunk(&behind, part))
    });
    for key in parts {
        let good = double.everything()[&key].clone();
        double.tamper(key.clone(), None);
        let error = storage.load(&a).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        double.tamper(key, Some(good));
    }
    double.tamper(layout().beat(&cluster(), NODE), None);
    let error = storage.renew_node(&cluster(), NODE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = storage.nodes(&cluster()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_record_of_another_version_is_a_schema_error() {
    let double = Double::new();
    let (storage, a, _) = filled(&double).await;
    let key = layout().state(&a);
    let mut newer = double.everything()[&key].clone();
    newer[1] = 9;
    double.tamper(key, Some(newer));
    assert_eq!(
        storage.head(&a).await.unwrap_err().kind(),
        ErrorKind::Schema
    );
}

#[tokio::test]
async fn deletion_and_smaller_records_leave_nothing_behind() {
    let double = Double::new();
    let (storage, a, epoch) = filled(&double).await;
    let content = layout().content(&a);
    let count =
        |span: super::super::layout::Span| double.everything().range(span.begin..span.end).count();
    assert_eq!(count(chunks(&content.checkpoint())), 2);
    let mut smaller = commit(&a, epoch, 1);
    smaller.checkpoint = Some(checkpoint(vec![1; 5], 2));
    smaller.reminders = Some(Reminders {
        wake_at: Some(Timestamp(7)),
        list: vec![1; 5].into(),
    });
    smaller.forget = vec![RequestId::new(1, 1)];
    let outcome = storage.append(smaller).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
    assert_eq!(count(chunks(&content.checkpoint())), 1);
    assert_eq!(count(chunks(&content.reminders())), 1);
    let due = |wake_at| {
        let key = layout().due(&a, Timestamp(wake_at));
        double.everything().contains_key(&key)
    };
    assert_eq!([7, 8].map(due), [true, false]);
    assert_eq!(count(content.marks()), 0);
    assert_eq!(count(chunks(&content.reply(RequestId::new(1, 1)))), 0);
    let outcome = storage.delete(&a, epoch, Timestamp(9)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(3))),
        "{outcome:?}"
    );
    assert_eq!(count(content.everything()), 0);
    assert!(!due(7));
}

async fn opened(double: &Arc<Double>) -> Result<FoundationDbStorage, Error> {
    let database = Arc::new(Handle(double.clone()));
    FoundationDbStorage::over(database, PREFIX.to_vec(), 2, DEFAULT_MAX_COMMIT_BYTES).await
}

#[tokio::test]
async fn schemas_are_compared_when_a_storage_is_opened() {
    let double = Double::new();
    assert!(opened(&double).await.is_ok());
    assert!(opened(&double).await.is_ok(), "its own schema is refused");
    let schema = layout().schema();
    let written = double.everything()[&schema].clone();
    for (stored, kind) in [
        (
            foundationdb_tuple::pack(&("jido", 99u64)),
            ErrorKind::Schema,
        ),
        (
            foundationdb_tuple::pack(&("other", 1u64)),
            ErrorKind::Corrupt,
        ),
        (b"garbage".to_vec(), ErrorKind::Corrupt),
        (encode(&1u64).unwrap(), ErrorKind::Corrupt),
    ] {
        double.tamper(schema.clone(), Some(stored));
        let error = opened(&double).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    double.tamper(schema, Some(written));
    assert!(opened(&double).await.is_ok());
    // Somebody else's keys are not taken over.
    let foreign = Double::new();
    foreign.tamper([PREFIX, b"\x02theirs"].concat(), Some(vec![1]));
    let error = opened(&foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
    // Keys beside the prefix are nobody's business.
    let beside = Double::new();
    beside.tamper([PREFIX, b"\xff"].concat(), Some(vec![1]));
    beside.tamper(vec![0x15, 0x2b], Some(vec![1]));
    assert!(opened(&beside).await.is_ok());
}

#[tokio::test]
async fn old_markers_are_swept_and_young_ones_kept() {
    let double = Double::new();
    let (first, _, _) = ready(&double).await;
    let markers = |double: &Double| {
        let span = layout().markers_from(0);
        double.everything().range(span.begin..span.end).count()
    };
    assert_eq!(markers(&double), 1, "one lane after another is one lane");
    double.age(86_400 * 1_000_000 - 10_000_000);
    drop(over(&double, 0).await);
    assert_eq!(markers(&double), 1);
    double.age(20_000_000);
    drop(over(&double, 0).await);
    let kept: Vec<_> = double.everything().into_keys().collect();
    let swept = layout().marker(1, 0);
    assert!(!kept.contains(&swept));
    // And the instance whose marker was swept goes on.
    assert_eq!(
        first.renew_node(&cluster(), NODE).await.unwrap(),
        Renewal::Renewed(2)
    );
}
