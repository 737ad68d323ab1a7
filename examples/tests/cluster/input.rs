//! Bad input gets an error that names it, and the node goes on serving.

use jido_testkit::process::{DemoClient, Inc, ProcessCluster};
use serde_json::Value;

use crate::PROGRAM;

struct Case {
    method: &'static str,
    path: String,
    header: Option<(&'static str, &'static str)>,
    status: u16,
    code: &'static str,
    /// What the message names.
    names: &'static [&'static str],
}

fn case(method: &'static str, path: impl Into<String>, names: &'static [&'static str]) -> Case {
    Case {
        method,
        path: path.into(),
        header: None,
        status: 400,
        code: "invalid_input",
        names,
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, rest) in [
        ("POST", "/inc"),
        ("GET", ""),
        ("GET", "/owner"),
        ("POST", "/stop"),
        ("POST", "/remind?at=1"),
    ] {
        let path = |key: &str| format!("/demo/keys/{key}{rest}");
        cases.extend([
            case(method, path(""), &["key", "1024"]),
            case(method, path(&"x".repeat(1025)), &["key", "1025", "1024"]),
            case(
                method,
                path(&"%C3%A9".repeat(513)),
                &["key", "1026", "1024"],
            ),
            case(method, path("a%00b"), &["key", "NUL"]),
            case(method, path("%FF"), &["key", "UTF-8"]),
        ]);
    }
    for by in [
        "",
        "x",
        "1.5",
        "9223372036854775808",
        "-9223372036854775809",
        "1%20",
        "0x1",
    ] {
        let path = format!("/demo/keys/k/inc?by={by}");
        cases.push(case("POST", path, &["by", "9223372036854775807"]));
    }
    cases.push(case("POST", "/demo/keys/k/inc?by=1&by=2", &["by"]));
    for (query, name) in [
        ("", "at"),
        ("?at=", "at"),
        ("?at=soon", "at"),
        ("?at=-1", "at"),
        ("?at=253402300800000", "at"),
        ("?at=1&by=x", "by"),
        ("?at=1&at=2", "at"),
    ] {
        let names: &'static [&'static str] = if name == "at" { &["at"] } else { &["by"] };
        cases.push(case("POST", format!("/demo/keys/k/remind{query}"), names));
    }
    for value in ["", "x", "123e4567-e89b-12d3-a456-42661417400", "{}"] {
        cases.push(Case {
            header: Some(("idempotency-key", value)),
            ..case("POST", "/demo/keys/k/inc", &["Idempotency-Key", "UUID"])
        });
    }
    for path in [
        "/",
        "/demo",
        "/demo/keys",
        "/demo/keys/k/other",
        "/demo/keys/a/b/inc",
        "/x",
    ] {
        cases.push(Case {
            status: 404,
            code: "not_found",
            ..case("GET", path, &["path"])
        });
    }
    for (method, path) in [
        ("GET", "/demo/keys/k/inc"),
        ("POST", "/demo/keys/k"),
        ("DELETE", "/demo/keys/k"),
        ("PUT", "/demo/keys/k/stop"),
        ("POST", "/demo/cluster/stats"),
        ("POST", "/readyz"),
    ] {
        let code = "method_not_allowed";
        cases.push(Case {
            status: 405,
            code,
            ..case(method, path, &["method"])
        });
    }
    cases
}

async fn assert_refused(client: &DemoClient, case: Case) {
    let (status, body) = client
        .raw(case.method, &case.path, case.header)
        .await
        .unwrap();
    let context = format!("{} {}: {status} {body}", case.method, case.path);
    let json: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{context}"));
    let error = &json["error"];
    assert_eq!(
        (status, error["code"].as_str()),
        (case.status, Some(case.code)),
        "{context}"
    );
    assert_eq!(error["retryable"], Value::Bool(false), "{context}");
    assert_eq!(error["executed"], "no", "{context}");
    let message = error["message"].as_str().unwrap();
    assert!(
        case.names.iter().all(|name| message.contains(name)),
        "{context}"
    );
}

#[tokio::test]
async fn bad_input_of_every_kind_is_refused_and_the_node_goes_on() {
    let cluster = ProcessCluster::builder(PROGRAM)
        .nodes(1)
        .start()
        .await
        .unwrap();
    let n1 = cluster.client("n1").unwrap();
    assert_eq!(n1.inc("k").await.unwrap().value, 1);
    for case in cases() {
        assert_refused(&n1, case).await;
    }
    assert_eq!(n1.get("k").await.unwrap().value, 1);
    n1.ready().await.unwrap();
    assert_eq!(n1.raw("GET", "/healthz", None).await.unwrap().0, 200);
}

#[tokio::test]
async fn an_overflow_is_refused_by_the_counter_and_changes_nothing() {
    let cluster = ProcessCluster::builder(PROGRAM)
        .nodes(1)
        .start()
        .await
        .unwrap();
    let n1 = cluster.client("n1").unwrap();
    let by = |by| Inc { by, request: None };
    assert_eq!(
        n1.inc_with("k", by(i64::MAX)).await.unwrap().value,
        i64::MAX
    );
    let error = n1.inc("k").await.unwrap_err();
    assert_eq!(
        (error.status(), error.code()),
        (Some(422), Some("overflow")),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert_eq!(n1.get("k").await.unwrap().value, i64::MAX);
    assert_eq!(n1.inc_with("k", by(-1)).await.unwrap().value, i64::MAX - 1);
    assert_eq!(
        n1.inc_with("low", by(i64::MIN)).await.unwrap().value,
        i64::MIN
    );
    assert_eq!(
        n1.inc_with("low", by(-1)).await.unwrap_err().status(),
        Some(422)
    );
}

#[tokio::test]
async fn any_good_key_works_and_comes_back_as_it_was_sent() {
    let cluster = ProcessCluster::builder(PROGRAM)
        .nodes(1)
        .start()
        .await
        .unwrap();
    let n1 = cluster.client("n1").unwrap();
    let longest = "x".repeat(1024);
    for key in [
        "a/b",
        "a",
        "b",
        "..",
        ".",
        "%2F",
        "ü 漢 🦀",
        "?by=2#x",
        "a\nb",
        "+",
        &longest,
    ] {
        let reply = n1.inc(key).await.unwrap();
        assert_eq!((reply.key.as_str(), reply.value), (key, 1));
        assert_eq!(n1.owner(key).await.unwrap().key, key);
        assert!(n1.stop(key).await.unwrap());
    }
    let id = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
    let reply = n1
        .inc_with(
            "id",
            Inc {
                by: 1,
                request: Some(id),
            },
        )
        .await
        .unwrap();
    assert_eq!(reply.value, 1);
}
