//! An account whose thread tells its balance: what happened is kept, and the state follows
//! from it.
//!
//! `cargo run -p jido-examples --example 05_event_sourced`
#![allow(clippy::print_stdout, reason = "a program for people")]

use jido_cluster::storage::LmdbStorage;
use jido_cluster::{
    AgentError, Context, EventSourced, InstanceManager, Node, Seq, Sourced, decode_payload,
};
use jido_testkit::check_replay;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Serialize, Deserialize)]
enum Order {
    Deposit(u64),
    Withdraw(u64),
    Show,
}

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Deposited(u64),
    Withdrawn(u64),
}

impl EventSourced for Account {
    const KIND: &'static str = "account";
    /// At most this many events are read when an account is activated.
    const CHECKPOINT_EVERY: u64 = 100;
    type Message = Order;
    type Event = Event;
    /// The account as it was before, or why the order is refused.
    type Reply = Result<Account, String>;

    async fn decide(
        &self,
        order: Order,
        _: &mut Context<'_>,
    ) -> Result<(Vec<Event>, Self::Reply), AgentError> {
        let event = match order {
            Order::Deposit(sum) => Event::Deposited(sum),
            Order::Withdraw(sum) if sum <= self.balance => Event::Withdrawn(sum),
            Order::Withdraw(_) => {
                let why = format!("there are only {}", self.balance);
                return Ok((vec![], Err(why)));
            }
            Order::Show => return Ok((vec![], Ok(self.clone()))),
        };
        Ok((vec![event], Ok(self.clone())))
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Deposited(sum) => self.balance += sum,
            Event::Withdrawn(sum) => self.balance -= sum,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let node = Node::builder("n1")
        .listen(([127, 0, 0, 1], 0).into())
        .cookie("a secret of sixteen bytes or more")
        .start()
        .await?;
    let accounts = InstanceManager::<Sourced<Account>>::builder("accounts")
        .storage(LmdbStorage::open(folder.path())?)
        .start(&node)
        .await?;

    for order in [
        Order::Deposit(100),
        Order::Withdraw(30),
        Order::Withdraw(80),
        Order::Deposit(5),
    ] {
        match accounts.call("ada", order).await? {
            Ok(before) => println!("carried out; before, there were {}", before.balance),
            Err(why) => println!("refused: {why}"),
        }
    }

    // It sleeps, and comes back from its thread.
    accounts.stop("ada").await?;
    let account = accounts.call("ada", Order::Show).await??;
    println!("ada has {}", account.balance);
    assert_eq!(account.balance, 75);

    let thread = accounts.thread("ada", Seq::ZERO, 100).await?;
    for entry in &thread {
        let event: Event = decode_payload(&entry.payload)?;
        println!("{}: {event:?}", entry.seq);
    }
    // What a test of such an agent holds.
    check_replay(&Account::default(), &thread, &account)?;
    node.drain().await;
    Ok(())
}
