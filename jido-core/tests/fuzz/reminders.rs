//! Stored lists of reminders.

use std::time::Duration;

use bytes::Bytes;
use jido_core::fuzz::bounded;
use jido_core::{ErrorKind, Missed, ReminderList, Schedule, Timestamp, fuzz_target};

#[test]
fn lists() {
    let now = Timestamp(1_772_323_200_000);
    let mut list = ReminderList::default();
    for (name, schedule) in [
        ("once", Schedule::after(Duration::from_secs(60))),
        (
            "hourly",
            Schedule::every(Duration::from_secs(3_600)).missed(Missed::All),
        ),
        (
            "cron",
            Schedule::cron("*/5 8-18 * * MON-FRI").missed(Missed::Skip),
        ),
    ] {
        let message = Bytes::from_static(b"message");
        list.set(name, &schedule, message, now).unwrap();
    }
    let whole = list.encode().unwrap().to_vec();
    let newer = [&[2], &whole[1..]].concat();
    fuzz_target!(vec![whole, newer, Vec::new()], |bytes: &[u8]| {
        match bounded(bytes.len(), || ReminderList::decode(bytes)) {
            Ok(list) => {
                assert_eq!(ReminderList::decode(&list.encode().unwrap()).unwrap(), list);
                // Whatever it holds, the time makes something of it, and it goes on.
                let due = list.due(Timestamp(now.0 + 86_400_000), |_| true);
                if let Ok(Some(due)) = due {
                    let next = due.after.iter().find(|one| one.name == due.name);
                    let before = list.iter().find(|one| one.name == due.name);
                    assert!(next.is_none_or(|next| Some(next.due) > before.map(|one| one.due)));
                }
            }
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerVersion),
                "{error}"
            ),
        }
    });
}
