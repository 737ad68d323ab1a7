//! Seeds that are run for every change.
use jido_testkit::sim::workload::{Options, Plan, run};

#[test]
fn seeds() {
    for seed in 0..20 {
        let report = run(&Plan::new(seed, Options::default())).unwrap();
        println!("{seed}: {:016x} {} events, {} ops", report.traced.hash, report.traced.events, report.history.operations.len());
        for v in &report.violations { println!("   {v}"); }
        if seed == 0 { println!("{:#?}", report.traced.counts); }
    }
}
