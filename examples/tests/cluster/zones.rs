//! Counters are placed by zones.

use crate::{all_joined, cluster, eventually, inc_until_success};

#[tokio::test]
async fn counters_run_in_the_preferred_zone_and_elsewhere_once_it_is_lost() {
    let builder = cluster()
        .args(["--prefer-zone", "b"])
        .args_of("n1", ["--zone", "a"])
        .args_of("n2", ["--zone", "b"])
        .args_of("n3", ["--zone", "b"]);
    let mut cluster = builder.start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("zoned-{number}")).collect();
    eventually(
        "all counters are placed in the zone, on both nodes",
        || async {
            let mut placed = std::collections::BTreeSet::new();
            for key in &keys {
                let told = n1.owner(key).await.map_err(|e| e.to_string())?;
                placed.extend(told.placed);
            }
            match placed.iter().map(String::as_str).eq(["n2", "n3"]) {
                true => Ok(()),
                false => Err(format!("{placed:?}")),
            }
        },
    )
    .await;
    for key in &keys {
        let reply = n1.inc(key).await.unwrap();
        assert_ne!(reply.owner, "n1", "{key}");
    }
    let zone = ["n2", "n3"].map(str::to_owned);
    cluster.kill_together(&zone).await.unwrap();
    for key in &keys {
        let (reply, unknown) = inc_until_success(&n1, key).await;
        assert_eq!(reply.owner, "n1", "{key}");
        assert!((2..=2 + unknown).contains(&reply.value), "{reply:?}");
    }
}
