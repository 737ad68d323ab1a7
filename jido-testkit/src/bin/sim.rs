//! Simulates whole clusters, one seed after the other, and judges every history.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use jido_testkit::sim::workload::{Numbers, Options, Plan, Sweep, Swept, run_traced, shrink};

/// Simulates clusters of the real code from seeds: clients work, things go wrong, and
/// every history is checked. Ends with status 0 only if no invariant was broken, every
/// expected kind of event happened, and every seed that was run twice gave the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds are run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; alone, it is the only one
    #[arg(long)]
    seed: Option<u64>,
    /// Nodes of each cluster
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    nodes: usize,
    /// Tasks of the clients: one operation each, or two
    #[arg(long, default_value_t = 200)]
    ops: usize,
    /// Things that go wrong
    #[arg(long, default_value_t = 10)]
    faults: usize,
    /// Agents that are worked on
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    keys: usize,
    /// Clients at a time
    #[arg(long, default_value_t = 6, value_parser = at_least_one)]
    clients: usize,
    /// Simulations at a time
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    threads: usize,
    /// Run one seed and print all that happens
    #[arg(long, requires = "seed")]
    replay: bool,
    /// With one seed: only these faults of its plan, as in 0,3-5
    #[arg(long, requires = "seed")]
    only_faults: Option<Numbers>,
    /// With one seed: only these tasks of its plan, as in 0,3-5
    #[arg(long, requires = "seed")]
    only_ops: Option<Numbers>,
    /// Run every seed twice, and compare the runs
    #[arg(long)]
    twice: bool,
    /// Stop at the first violation
    #[arg(long)]
    stop: bool,
    /// Runs that may be spent on making a violation smaller
    #[arg(long, default_value_t = 300)]
    shrink: usize,
    /// Plant a bug, to see that it is found
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    plant: Option<jido_testkit::sim::workload::planted::Bug>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

impl Arguments {
    fn options(&self) -> Options {
        Options {
            nodes: self.nodes,
            ops: self.ops,
            faults: self.faults,
            keys: self.keys,
            clients: self.clients,
        }
    }

    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::new(seed, self.options());
        if let Some(only) = &self.only_faults {
            plan.faults.retain(|fault| only.has(fault.number as u64));
        }
        if let Some(only) = &self.only_ops {
            plan.tasks.retain(|task| only.has(task.number));
        }
        plan
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted-bugs")]
    jido_testkit::sim::workload::planted::plant(arguments.plant);
    let mut out = std::io::stdout().lock();
    let done = match arguments.seed {
        Some(seed) if arguments.replay || arguments.is_part() => one(&arguments, seed, &mut out),
        _ => many(&arguments, &mut out),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With nowhere to write to, the status alone must do.
            let _ = writeln!(std::io::stderr(), "sim: {error}");
            ExitCode::from(2)
        }
    }
}

type Failure = Box<dyn std::error::Error>;

impl Arguments {
    fn is_part(&self) -> bool {
        self.only_faults.is_some() || self.only_ops.is_some()
    }
}

/// Runs one seed and tells all of it.
fn one(arguments: &Arguments, seed: u64, out: &mut impl std::io::Write) -> Result<bool, Failure> {
    let report = run_traced(&arguments.plan(seed), arguments.replay)?;
    for line in &report.traced.lines {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "seed {seed}: {} events, hash {:016x}",
        report.traced.events, report.traced.hash
    )?;
    write!(out, "{report}")?;
    Ok(report.violations.is_empty())
}

#[allow(
    clippy::disallowed_methods,
    reason = "how fast the program is, by the real clock"
)]
fn clock() -> Instant {
    Instant::now()
}

fn many(arguments: &Arguments, out: &mut impl std::io::Write) -> Result<bool, Failure> {
    let first = arguments.seed.unwrap_or(0);
    let count = match arguments.seed {
        Some(_) if !std::env::args().any(|a| a.starts_with("--seeds")) => 1,
        _ => arguments.seeds,
    };
    let sweep = Sweep {
        seeds: first..first.saturating_add(count),
        options: arguments.options(),
        threads: arguments.threads,
        twice: arguments.twice,
        stop: arguments.stop,
    };
    let bar = bar(count)?;
    let start = clock();
    let swept = sweep.run(|seeds, bad| {
        bar.set_position(seeds);
        bar.set_message(format!("{bad} bad"));
    });
    bar.finish_and_clear();
    let took = start.elapsed().as_secs_f64();
    tell(&swept, took, out)?;
    let mut good = swept.unsteady.is_empty();
    // A few seeds, or smaller runs, can't reach everything.
    if swept.seeds >= 500 && arguments.faults >= 10 {
        for kind in swept.missing() {
            writeln!(out, "never happened: {kind}")?;
            good = false;
        }
    }
    if let Some(error) = swept.errors.into_iter().next() {
        return Err(error.into());
    }
    if let Some(report) = swept.reports.into_iter().next() {
        let shrunk = shrink(report, arguments.shrink)?;
        writeln!(out, "\n{shrunk}")?;
        good = false;
    }
    Ok(good)
}

fn bar(count: u64) -> Result<ProgressBar, Failure> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = "{bar:40} {pos}/{len} seeds, {per_sec}, {msg}, {eta} to go";
    Ok(ProgressBar::new(count).with_style(ProgressStyle::with_template(style)?))
}

fn tell(swept: &Swept, took: f64, out: &mut impl std::io::Write) -> Result<(), Failure> {
    for (kind, count) in &swept.counts {
        writeln!(out, "{count:>10} {kind}")?;
    }
    let seeds = swept.seeds;
    writeln!(
        out,
        "{seeds} seeds, {} operations, {} faults in {took:.1} s: {:.1} seeds a second",
        swept.operations,
        swept.faults,
        seeds as f64 / took.max(0.001)
    )?;
    writeln!(out, "{} seeds with violations", swept.bad)?;
    for seed in &swept.unsteady {
        writeln!(out, "seed {seed} gave two different runs")?;
    }
    for report in &swept.reports {
        for violation in &report.violations {
            writeln!(out, "seed {}: {violation}", report.plan.seed)?;
        }
    }
    Ok(())
}
