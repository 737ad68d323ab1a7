//! A load of calls, so many at a time, and what it measures.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::AGENTS;

/// A way to call the agent of a number with a message, which it gives back; it
/// panics when the reply isn't right.
pub(crate) trait Caller: Clone + Send + 'static {
    fn call(&self, agent: usize, message: &Bytes) -> impl Future<Output = ()> + Send;
}

/// Of so many calls one is noted down: to note all costs more than some of what is measured.
const TIMED: usize = 8;

/// How much is asked for at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) in_flight: usize,
    /// Bytes of a message, and of its reply.
    pub(crate) payload: usize,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [
        Self::new(1, 64),
        Self::new(64, 64),
        Self::new(1_024, 64),
        Self::new(64, 4_096),
    ];

    const fn new(in_flight: usize, payload: usize) -> Self {
        Self { in_flight, payload }
    }

    /// One for the whole run: it costs those nothing who share it.
    fn message(self) -> Bytes {
        Bytes::from_static(vec![7; self.payload].leak())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_flight, payload } = self;
        write!(f, "{in_flight:>5} in flight, {payload:>4} bytes")
    }
}

/// What one measurement found. Times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Calls a second.
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time a call, of all that take part. On a machine that others use
    /// too it says more than the rate.
    pub(crate) cpu: f64,
}

/// Processor time that this process has used, in microseconds.
pub(crate) fn used_cpu() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3
}

impl Sample {
    pub(crate) fn median(samples: &[Self]) -> Self {
        let of =
            |value: fn(&Self) -> f64| median(&mut samples.iter().map(value).collect::<Vec<_>>());
        Self {
            rate: of(|sample| sample.rate),
            p50: of(|sample| sample.p50),
            p99: of(|sample| sample.p99),
            cpu: of(|sample| sample.cpu),
        }
    }

    /// As one process tells it another; [`FromStr`] reads it.
    pub(crate) fn to_line(self) -> String {
        format!("{} {} {} {}", self.rate, self.p50, self.p99, self.cpu)
    }
}

impl FromStr for Sample {
    type Err = std::num::ParseFloatError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut values = line.split_whitespace().map(f64::from_str);
        let mut next = || values.next().unwrap_or_else(|| panic!("short: {line:?}"));
        Ok(Self {
            rate: next()?,
            p50: next()?,
            p99: next()?,
            cpu: next()?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rate,
            p50,
            p99,
            cpu,
        } = self;
        write!(
            f,
            "{rate:>8.0} calls/s | p50 {p50:>8.1} us | p99 {p99:>8.1} us | {cpu:>5.2} us of cpu a call"
        )
    }
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Calls all agents once, so that each runs.
pub(crate) async fn warm_up<C: Caller>(caller: &C) {
    let message = Level::ALL[0].message();
    for agent in 0..AGENTS {
        caller.call(agent, &message).await;
    }
}

/// Keeps as many calls under way as the level says for a while, each by a task of
/// its own.
pub(crate) async fn run<C: Caller>(caller: &C, level: Level, seconds: f64) -> Sample {
    let used = used_cpu();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds);
    let message = level.message();
    let tasks: Vec<_> = (0..level.in_flight)
        .map(|task| {
            let caller = caller.clone();
            let message = message.clone();
            tokio::spawn(async move {
                let mut agent = task * AGENTS / level.in_flight;
                let mut waits = Vec::new();
                let mut count = 0;
                let mut now = Instant::now();
                while now < until {
                    caller.call(agent, &message).await;
                    // All are called, and neighbours in turn are none in memory.
                    agent = (agent + 7_919) % AGENTS;
                    let then = Instant::now();
                    if count % TIMED == 0 {
                        waits.push((then - now).as_nanos() as u64);
                    }
                    count += 1;
                    now = then;
                }
                (count, waits)
            })
        })
        .collect();
    let (mut calls, mut waits) = (0, Vec::new());
    for task in tasks {
        let (count, mut timed) = task.await.unwrap();
        calls += count;
        waits.append(&mut timed);
    }
    let took = started.elapsed();
    let used = used_cpu() - used;
    waits.sort_unstable();
    let micros = |part: f64| waits[(waits.len() as f64 * part) as usize] as f64 / 1_000.0;
    Sample {
        rate: calls as f64 / took.as_secs_f64(),
        p50: micros(0.5),
        p99: micros(0.99),
        cpu: used / calls as f64,
    }
}
