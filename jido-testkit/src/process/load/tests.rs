use super::*;
use crate::counters::{self, Verdict};
use crate::process::DemoClient;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How a node that speaks just enough HTTP answers increments.
#[derive(Clone, Copy)]
enum Manner {
    Serves,
    /// Answers 503, not executed, and is not ready.
    Stopped,
    /// Increments, then answers 504, perhaps executed, every third time.
    LosesAnswers,
    /// Answers every second increment without doing it.
    Lies,
}

type Counters = Arc<Mutex<BTreeMap<String, i64>>>;

async fn node(manner: Manner, counters: &Counters) -> DemoClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = DemoClient::new(listener.local_addr().unwrap());
    let counters = Arc::clone(counters);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(serve(stream, manner, Arc::clone(&counters)));
        }
    });
    client
}

async fn serve(stream: TcpStream, manner: Manner, counters: Counters) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut asked = 0;
    loop {
        let mut request = String::new();
        stream.read_line(&mut request).await?;
        let mut header = String::new();
        while stream.read_line(&mut header).await? > 2 {
            header.clear();
        }
        let Some(path) = request.split(' ').nth(1) else {
            return Ok(());
        };
        asked += 1;
        let (status, body) = answer(path, manner, asked, &counters);
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
    }
}

fn answer(path: &str, manner: Manner, asked: u32, counters: &Counters) -> (u16, String) {
    let error = |code: &str, executed: &str| {
        format!(
            r#"{{"error":{{"code":"{code}","message":"m","retryable":true,"executed":"{executed}"}}}}"#
        )
    };
    if let Manner::Stopped = manner {
        return (503, error("stopped", "no"));
    }
    if path == "/readyz" {
        return (200, "{}".to_owned());
    }
    let key = path.split('/').nth(3).unwrap_or_default();
    let mut counters = counters.lock();
    let value = counters.entry(key.to_owned()).or_default();
    match manner {
        Manner::Lies if asked.is_multiple_of(2) => {}
        _ => *value += 1,
    }
    if matches!(manner, Manner::LosesAnswers) && asked.is_multiple_of(3) {
        return (504, error("timeout", "maybe"));
    }
    let rest = r#""node":"n","owner":"n","epoch":1,"revision":1"#;
    (200, format!(r#"{{"key":"{key}","value":{value},{rest}}}"#))
}

async fn run(nodes: Vec<DemoClient>, counters: &Counters) -> (LoadReport, Verdict) {
    let load = Load::start(LoadOptions {
        nodes,
        clients: 4,
        keys: Vec::new(),
        plain_keys: ["a", "b", "c"].map(str::to_owned).to_vec(),
        seed: 1,
        reads: 0,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    while load.counts().acknowledged < 300 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(load.take_latencies().len() >= 300);
    let report = load.stop().await.unwrap();
    let verdict = counters::check(&report.history, &counters.lock());
    assert_eq!(verdict.acknowledged, report.counts.acknowledged);
    (report, verdict)
}

#[tokio::test]
async fn a_node_that_stops_is_left_and_nothing_fails() {
    let counters = Counters::default();
    let nodes = vec![
        node(Manner::Stopped, &counters).await,
        node(Manner::Serves, &counters).await,
    ];
    let (report, verdict) = run(nodes, &counters).await;
    assert!(verdict.is_good(), "{verdict}");
    let LoadCounts {
        failed, refused, ..
    } = report.counts;
    // Two of the four clients meet it, once each: then it is known.
    assert!(failed == 0 && (1..=4).contains(&refused), "{report:?}");
    assert_eq!(verdict.keys, 3);
}

#[tokio::test]
async fn lost_answers_are_unknown_and_the_history_is_still_good() {
    let counters = Counters::default();
    let nodes = vec![node(Manner::LosesAnswers, &counters).await];
    let (report, verdict) = run(nodes, &counters).await;
    assert!(verdict.is_good(), "{verdict}");
    assert!(
        verdict.unknown > 0 && verdict.unknown == report.counts.failed,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_node_that_acknowledges_what_it_did_not_do_is_found_out() {
    let counters = Counters::default();
    let nodes = vec![node(Manner::Lies, &counters).await];
    let (_, verdict) = run(nodes, &counters).await;
    assert!(!verdict.is_good() && verdict.doubled > 0, "{verdict}");
}

#[tokio::test]
async fn patience_ends() {
    let counters = Counters::default();
    let load = Load::start(LoadOptions {
        nodes: vec![node(Manner::Stopped, &counters).await],
        clients: 1,
        keys: Vec::new(),
        plain_keys: vec!["a".to_owned()],
        seed: 1,
        reads: 0,
        patience: Duration::ZERO,
    })
    .unwrap();
    while load.counts().failed == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(load.errors()[0].contains("stopped"), "{:?}", load.errors());
    assert_eq!(load.stop().await.unwrap().history.operations.len(), 0);
}

#[tokio::test]
async fn clients_join_with_keys_of_their_own_and_increment_each_key_once() {
    let counters = Counters::default();
    let nodes = vec![
        node(Manner::Stopped, &counters).await,
        node(Manner::Serves, &counters).await,
    ];
    let mut load = Load::start(LoadOptions {
        nodes,
        clients: 1,
        keys: vec!["a".to_owned()],
        plain_keys: Vec::new(),
        seed: 1,
        reads: 0,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    load.join(2, vec!["b".to_owned()], 0, 2).unwrap();
    let error = load.join(1, Vec::new(), 0, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchNode);
    load.increment_each(["c", "d"].map(str::to_owned), 4);
    while load.answered_by("n").len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let kinds = load.errors_by_kind();
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["stopped"], "{kinds:?}");
    let report = load.stop().await.unwrap();
    assert_eq!(kinds["stopped"], report.counts.refused);
    let verdict = counters::check(&report.history, &counters.lock());
    assert!(verdict.is_good(), "{verdict}");
    let by_key = report.history.by_key();
    assert_eq!((by_key["c"].len(), by_key["d"].len()), (1, 1));
    let mut clients: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for op in &report.history.operations {
        clients.entry(op.client).or_default().push(&op.key);
    }
    let keys: Vec<&str> = clients
        .into_values()
        .map(|mut keys| {
            keys.dedup();
            assert_eq!(keys.len(), 1, "{keys:?}");
            keys[0]
        })
        .collect();
    assert_eq!(keys, ["a", "b", "b", "c", "d"]);
}

#[tokio::test]
async fn a_sweep_goes_by_way_of_every_node_and_is_part_of_the_history() {
    let counters = Counters::default();
    let nodes = vec![node(Manner::Serves, &counters).await];
    let keys = ["a", "b"].map(str::to_owned);
    let load = Load::start(LoadOptions {
        nodes: nodes.clone(),
        clients: 1,
        keys: Vec::new(),
        plain_keys: keys.to_vec(),
        seed: 1,
        reads: 0,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    let limit = Duration::from_secs(30);
    let took = load.sweep(&nodes, &keys, now(), limit).await.unwrap();
    assert!(took <= limit, "{took:?}");
    // One that is never ready fails it.
    let stopped = node(Manner::Stopped, &counters).await;
    let error = load.sweep(&[stopped], &keys, now(), Duration::ZERO).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooSlow);
    let answers = load.answers_by_way();
    assert!(
        answers[&("n".to_owned(), "n".to_owned())] >= 2,
        "{answers:?}"
    );
    let report = load.stop().await.unwrap();
    let swept = report.history.operations.iter();
    let swept: Vec<_> = swept.filter(|op| op.client == u64::MAX).collect();
    assert_eq!(swept.len(), 4, "{swept:?}");
    assert_eq!(swept.iter().filter(|op| op.had_effect()).count(), 2);
    let verdict = counters::check(&report.history, &counters.lock());
    assert!(verdict.is_good(), "{verdict}");
}
