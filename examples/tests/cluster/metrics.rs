//! What Prometheus scrapes.

use std::collections::BTreeMap;

use jido_testkit::process::DemoClient;

use crate::{all_joined, cluster, eventually, key_on};

/// No key of this test is without it, and nothing else has it.
const SECRET: &str = "jane.doe@example.org";

/// The samples of a scrape, by name and labels as they stand there.
struct Scraped {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Scraped {
    async fn of(client: &DemoClient) -> Self {
        let (status, text) = client.raw("GET", "/metrics", None).await.unwrap();
        assert_eq!(status, 200, "{text}");
        let lines = text.lines();
        let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self {
            samples: samples.collect(),
            text,
        }
    }

    /// The sum over all series of a name that have these labels among theirs.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.samples.iter().filter(|(series, _)| {
            let (told, all) = series.split_once('{').unwrap_or((series, ""));
            told == name && labels.iter().all(|label| all.contains(label))
        });
        samples.map(|(_, value)| value).sum()
    }
}

#[tokio::test]
async fn a_scrape_of_each_node_tells_what_was_sent_and_names_no_key() {
    let cluster = cluster().nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    let clients = [cluster.client("n1").unwrap(), cluster.client("n2").unwrap()];
    let before = [
        Scraped::of(&clients[0]).await,
        Scraped::of(&clients[1]).await,
    ];
    let here = key_on("n1", SECRET, &clients[0]).await.unwrap();
    let there = key_on("n2", SECRET, &clients[0]).await.unwrap();
    for _ in 0..7 {
        clients[0].inc(&here).await.unwrap();
        clients[0].inc(&there).await.unwrap();
    }
    for _ in 0..5 {
        clients[1].get(&there).await.unwrap();
    }
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for header in [parent, "nonsense"] {
        let header = Some(("traceparent", header));
        let path = format!("/demo/keys/{there}/inc");
        let (status, body) = clients[1].raw("POST", &path, header).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    let after = [
        Scraped::of(&clients[0]).await,
        Scraped::of(&clients[1]).await,
    ];
    let grown = |node: usize, name: &str, labels: &[&str]| {
        after[node].sum(name, labels) - before[node].sum(name, labels)
    };
    let ok = [
        "operation=\"call\"",
        "outcome=\"ok\"",
        "manager=\"counters\"",
    ];
    assert_eq!(grown(0, "jido_calls_total", &ok), 14.0, "{}", after[0].text);
    assert_eq!(grown(1, "jido_calls_total", &ok), 7.0, "{}", after[1].text);
    for node in [0, 1] {
        let calls = if node == 0 { 14.0 } else { 7.0 };
        assert_eq!(grown(node, "jido_calls_total", &[]), calls);
        assert_eq!(grown(node, "jido_call_seconds_count", &[]), calls);
        assert_eq!(after[node].sum("jido_members", &[]), 2.0);
        assert_eq!(after[node].sum("jido_agents", &["state=\"hot\""]), 1.0);
        assert!(after[node].sum("jido_sessions_opened_total", &[]) >= 1.0);
        assert_eq!(after[node].sum("jido_connections_refused_total", &[]), 0.0);
        assert!(!after[node].text.contains(SECRET), "{}", after[node].text);
    }
    let handled = ["outcome=\"ok\""];
    assert_eq!(grown(0, "jido_messages_total", &handled), 7.0);
    assert_eq!(grown(1, "jido_messages_total", &handled), 14.0);
    let committed = ["outcome=\"committed\""];
    assert_eq!(grown(0, "jido_commits_total", &committed), 7.0);
    assert_eq!(grown(1, "jido_commits_total", &committed), 9.0);
    // Each is described.
    for line in [
        "# TYPE jido_calls_total counter",
        "# HELP jido_members Nodes that",
    ] {
        assert!(after[0].text.contains(line), "{}", after[0].text);
    }

    // Nodes that have nothing to say to each other say that they are there.
    eventually("heartbeats are counted at both ends", || async {
        let scraped = Scraped::of(&clients[0]).await;
        let sent = scraped.sum("jido_heartbeats_sent_total", &[]);
        let received = scraped.sum("jido_heartbeats_received_total", &[]);
        match sent > 0.0 && received > 0.0 {
            true => Ok(()),
            false => Err(format!("{sent} sent, {received} received")),
        }
    })
    .await;
}
