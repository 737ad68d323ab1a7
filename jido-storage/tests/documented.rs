//! The list of cases in `docs/conformance.md` is the list that the suite has.

use std::collections::BTreeMap;
use std::path::Path;

use jido_storage::conformance::{Rule, cases};

/// Cases with the adapters that they run for, under their rules, as they are in the suite.
fn of_the_suite() -> BTreeMap<String, Vec<(String, String)>> {
    let mut rules = BTreeMap::new();
    for rule in Rule::ALL {
        let of_rule = cases().filter(|case| case.rule() == rule);
        let listed = of_rule.map(|case| (case.name().to_owned(), case.runs_for().to_owned()));
        rules.insert(rule.text().to_lowercase(), listed.collect());
    }
    rules
}

/// The same, as a document lists them.
fn of_a_document(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let (_, list) = text.split_once("\n## The cases\n").unwrap_or_default();
    let mut rules: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut rule = String::new();
    for line in list.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            rule = heading.to_lowercase();
            rules.entry(rule.clone()).or_default();
        } else if let Some(item) = line.strip_prefix("- `") {
            let (name, rest) = item.split_once('`').unwrap_or((item, ""));
            let runs_for = rest.trim().trim_matches(['(', ')']);
            let runs_for = if runs_for.is_empty() {
                "every adapter"
            } else {
                runs_for
            };
            let listed = rules.entry(rule.clone()).or_default();
            listed.push((name.to_owned(), runs_for.to_owned()));
        }
    }
    rules
}

#[test]
fn the_document_lists_every_case_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (listed, suite) = (of_a_document(&text), of_the_suite());
    for (rule, expected) in &suite {
        let found = listed.get(rule);
        assert_eq!(found, Some(expected), "docs/conformance.md, under {rule:?}");
    }
    assert_eq!(
        listed.len(),
        suite.len(),
        "it has a heading that is no rule"
    );
}

#[test]
fn a_document_that_differs_is_told_from_the_suite() {
    let suite = of_the_suite();
    let mut text = String::from("# Title\n\n- `before::the_list`\n\n## The cases\n");
    for (rule, cases) in &suite {
        text.push_str(&format!("\n### {rule}\n\n"));
        for (name, runs_for) in cases {
            text.push_str(&format!("- `{name}` ({runs_for})\n"));
        }
    }
    assert_eq!(of_a_document(&text), suite);
    let one = "- `claims::a_live_owner_holds` (every adapter)\n";
    assert!(text.contains(one));
    let shorter = text.replace(one, "");
    assert_ne!(of_a_document(&shorter), suite);
    let longer = text.replace(one, &format!("{one}- `claims::none_such`\n"));
    assert_ne!(of_a_document(&longer), suite);
    let elsewhere = text.replace(one, &one.replace("every adapter", "durable adapters"));
    assert_ne!(of_a_document(&elsewhere), suite);
}
