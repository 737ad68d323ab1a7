use futures_util::FutureExt;
use futures_util::poll;
use jido_core::{AnswerStatus, Epoch, Executed, Revision};

use super::super::budget::Budgets;
use super::*;

const PEER: Incarnation = Incarnation(7);

fn open(pending: &Pending, to: Incarnation) -> PendingAnswer {
    pending.open(to, Budgets::default().take(to, 0, 10).unwrap())
}

fn answer(correlation: u64, code: u8) -> Answer {
    Answer {
        correlation,
        status: AnswerStatus::Failed,
        executed: Executed::No,
        code,
        epoch: Epoch::ZERO,
        revision: Revision::ZERO,
        hint: None,
        by: None,
        payload: bytes::Bytes::new(),
    }
}

#[tokio::test]
async fn an_answer_reaches_its_ask_alone_and_once() {
    let pending = Pending::default();
    let mut asks: Vec<_> = (0..100).map(|_| open(&pending, PEER)).collect();
    assert!(poll!(&mut asks[5]).is_pending());
    for number in (0..100_u8).rev() {
        let correlation = asks[usize::from(number)].correlation();
        pending.answer(Incarnation(8), answer(correlation, 255));
        pending.answer(PEER, answer(correlation, number));
        pending.answer(PEER, answer(correlation, 254));
        assert_eq!(pending.len(), usize::from(number));
    }
    for (number, ask) in asks.into_iter().enumerate() {
        assert_eq!(usize::from(ask.await.unwrap().code), number);
    }
}

#[tokio::test]
async fn an_answer_that_comes_late_is_not_given_to_who_has_the_place_now() {
    let pending = Pending::default();
    let unsent = open(&pending, PEER);
    let late = unsent.correlation();
    assert!(unsent.sent(Err(())).is_err());
    let mut next = open(&pending, PEER);
    assert_eq!(place(late), place(next.correlation()));
    pending.answer(PEER, answer(late, 1));
    pending.interrupt_one(late);
    assert!(poll!(&mut next).is_pending());
    // Neighbours have lanes of their own.
    assert_eq!(late % 2, (next.correlation() + 1) % 2);
}

#[tokio::test]
async fn a_share_is_given_back_by_the_answer_and_by_the_end() {
    let (pending, budgets) = (Pending::default(), Budgets::default());
    let asks = [(); 3].map(|()| pending.open(PEER, budgets.take(PEER, 0, 10).unwrap()));
    let [answered, interrupted, unsent] = asks;
    assert_eq!(budgets.bytes(), 30);
    // Its caller has not looked yet.
    pending.answer(PEER, answer(answered.correlation(), 1));
    assert_eq!(budgets.bytes(), 20);
    pending.interrupt_one(interrupted.correlation());
    assert_eq!(budgets.bytes(), 10);
    assert!(unsent.sent(Err(())).is_err());
    assert_eq!(budgets.bytes(), 0);
}

#[tokio::test]
async fn who_gives_up_gives_the_share_back_when_the_peer_answers_or_is_gone() {
    let (pending, budgets) = (Pending::default(), Budgets::default());
    let ask = |lane| pending.open(PEER, budgets.take(PEER, lane, 10).unwrap());
    let places = || -> usize {
        let tables = pending.shards.iter();
        tables.map(|table| table.lock().open.len()).sum()
    };
    let [mut first, second, third] = [ask(0), ask(0), ask(1)];
    assert!(poll!(&mut first).is_pending());
    let late = first.correlation();
    drop((first, second, third));
    assert!(pending.is_empty(), "nobody waits");
    assert_eq!((budgets.bytes(), places()), (30, 3));
    // From another than was asked: it tells nothing.
    pending.answer(Incarnation(8), answer(late, 1));
    assert_eq!((budgets.bytes(), places()), (30, 3));
    pending.answer(PEER, answer(late, 1));
    assert_eq!((budgets.bytes(), places()), (20, 2));
    // What comes after the second in its order tells of that too.
    let next = ask(0);
    pending.answer(PEER, answer(next.correlation(), 2));
    assert_eq!(next.await.unwrap().code, 2);
    assert_eq!((budgets.bytes(), places()), (10, 2));
    pending.interrupt(PEER);
    assert_eq!((budgets.bytes(), places()), (0, 0));
}

#[tokio::test]
async fn the_end_of_a_session_is_told_to_those_who_wait_for_that_peer() {
    let pending = Pending::default();
    let [mut answered, mut gone, mut other] =
        [PEER, PEER, Incarnation(8)].map(|peer| open(&pending, peer));
    assert!(poll!(&mut gone).is_pending());
    pending.answer(PEER, answer(answered.correlation(), 3));
    pending.interrupt(PEER);
    assert_eq!(pending.len(), 1);
    assert_eq!((&mut answered).now_or_never().unwrap().unwrap().code, 3);
    assert!((&mut gone).now_or_never().unwrap().is_none());
    assert!(poll!(&mut other).is_pending());
    drop(other);
    assert!(pending.is_empty());
    pending.interrupt(Incarnation(8));
    let tables = pending.shards.iter();
    assert!(tables.map(|table| table.lock().open.len()).sum::<usize>() == 0);
}
