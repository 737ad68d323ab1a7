//! The transport between real processes.
//!
//! The session layer's registries belong to the process, so each node is a child
//! process: this program again, told what to do over its standard input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this is a test program, and there is no simulated clock in it"
)]

mod certificates;
mod certified;
#[cfg(feature = "dns")]
mod names;
mod namespaces;
mod own_name;
mod peer;
mod process;
#[cfg(feature = "conformance")]
mod promises;
mod silence;
mod strangers;

use std::time::Duration;

use jido_cluster::transport::MAX_ENVELOPE_LEN;
use libtest_mimic::{Arguments, Failed, Trial};
use process::{Launch, Process, free_address};

/// What each peer sends to another one as soon as that is up.
const GREETINGS: u64 = 500;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--peer") {
        return peer::run(&arguments[1..]);
    }
    #[cfg(feature = "conformance")]
    if arguments
        .get(1)
        .is_some_and(|first| first == promises::CHILD)
    {
        return promises::run(&arguments[1..]);
    }
    let no_namespaces = namespaces::missing();
    let trial = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        trial(
            "envelopes_go_both_ways_in_order",
            envelopes_go_both_ways_in_order,
        ),
        trial(
            "large_envelopes_pass_and_larger_ones_are_refused",
            large_envelopes,
        ),
        trial(
            "a_wrong_cookie_never_comes_up",
            a_wrong_cookie_never_comes_up,
        ),
        trial("another_cluster_is_refused", another_cluster_is_refused),
        trial("a_killed_peer_goes_down_and_comes_up_again", a_killed_peer),
        trial(
            "two_that_dial_each_other_settle_on_one_session",
            two_that_dial_each_other,
        ),
        trial(
            "garbage_and_silence_disturb_nobody",
            strangers::garbage_and_silence,
        ),
        trial(
            "a_proof_of_another_connection_is_refused",
            strangers::a_proof_of_another_connection,
        ),
        trial(
            "a_session_that_is_not_ready_in_time_is_ended_and_counted",
            strangers::a_session_that_is_not_ready,
        ),
        trial(
            "a_frame_that_is_too_large_ends_its_own_session_alone",
            strangers::a_frame_that_is_too_large,
        ),
        trial(
            "a_flood_of_half_open_connections_keeps_nobody_out",
            strangers::a_flood,
        ),
        trial(
            "more_sessions_than_allowed_are_turned_away",
            strangers::too_many_sessions,
        ),
        trial(
            "nodes_with_certificates_meet_and_others_are_refused",
            certified::nodes_with_certificates,
        ),
        trial(
            "a_wrong_certificate_is_refused_and_counted",
            certified::wrong_certificates,
        ),
        trial(
            "who_dials_refuses_a_wrong_certificate_too",
            certified::a_wrong_certificate_that_is_dialed,
        ),
        trial(
            "certificates_are_reloaded_without_a_restart",
            certified::reloaded,
        ),
        trial(
            "a_discovered_node_is_dialed_by_the_smaller_name",
            a_discovered_node,
        ),
        trial(
            "a_name_that_leads_to_the_node_itself_is_dialed_again",
            own_name::a_name_that_leads_to_the_node_itself,
        ),
        trial("a_stop_hands_over_what_was_sent", a_stop_hands_over),
        trial("a_goodbye_is_heard", a_goodbye_is_heard),
        trial(
            "only_gateways_can_be_reached_from_other_nodes",
            only_gateways,
        ),
        trial("actors_that_die_are_started_again", actors_that_die),
        trial(
            "a_paused_peer_is_unreachable_and_comes_back",
            silence::a_paused_peer,
        ),
        trial(
            "peers_whose_patience_differs_get_on",
            silence::patience_that_differs,
        ),
        trial(
            "a_peer_that_flaps_is_left_alone",
            silence::a_peer_that_flaps,
        ),
        trial(
            "dropped_packets_are_noticed_by_both",
            silence::dropped_packets,
        )
        .with_ignored_flag(no_namespaces.is_some()),
        #[cfg(feature = "dns")]
        trial("nodes_are_found_by_names", names::nodes_are_found),
        #[cfg(feature = "dns")]
        trial(
            "a_target_that_cant_be_looked_up_hides_no_other",
            names::a_target_without_an_address,
        ),
        #[cfg(feature = "dns")]
        trial(
            "a_name_about_which_nobody_answers_holds_no_other_up",
            names::a_name_without_an_answer,
        ),
        #[cfg(feature = "conformance")]
        trial("the_network_transport_keeps_every_promise", promises::kept),
    ];
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, no_namespaces) {
        eprintln!("skipped: what needs network namespaces: {why}");
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Two peers that are up for each other, the second having dialed the first.
pub(crate) fn pair() -> (Process, Process) {
    let mut a = Process::start("a", &[]);
    let mut b = Process::start("b", &[a.address.as_str()]);
    a.sees_up(&b);
    b.sees_up(&a);
    (a, b)
}

/// Sends from one to the other, all of which must arrive once and in order.
pub(crate) fn exchange(a: &mut Process, b: &mut Process, sent_before: u64, count: u64) {
    a.tell(&format!("send {} {count} 100", b.incarnation));
    b.tell(&format!("send {} {count} 100", a.incarnation));
    a.tell(&format!("expect {} {}", b.incarnation, sent_before + count));
    b.tell(&format!("expect {} {}", a.incarnation, sent_before + count));
    for peer in [a, b] {
        peer.says("sent 0");
        peer.says(&format!("got {} 0", sent_before + count));
    }
}

fn envelopes_go_both_ways_in_order() {
    let (mut a, mut b) = pair();
    exchange(&mut a, &mut b, GREETINGS, 100_000);
}

fn large_envelopes() {
    let (mut a, mut b) = pair();
    let to = b.incarnation.clone();
    a.tell(&format!("send {to} 20 {MAX_ENVELOPE_LEN}"));
    a.says("sent 0");
    b.tell(&format!("expect {} {}", a.incarnation, GREETINGS + 20));
    b.says(&format!("got {} 0", GREETINGS + 20));
    let len = MAX_ENVELOPE_LEN + 1;
    a.tell(&format!("large {to} {len}"));
    a.says(&format!(
        "large an envelope of {len} bytes is refused: the limit is {MAX_ENVELOPE_LEN}"
    ));
    // The session is none the worse for it.
    b.tell(&format!("send {} 1000 100", a.incarnation));
    b.says("sent 0");
    a.tell(&format!("expect {} {}", b.incarnation, GREETINGS + 1000));
    a.says(&format!("got {} 0", GREETINGS + 1000));
}

fn a_wrong_cookie_never_comes_up() {
    let (mut a, mut b) = pair();
    let seed = a.address.clone();
    let stranger = Launch {
        cookie: "another cookie",
        ..Launch::new("c", &[&seed])
    };
    let mut stranger = stranger.start();
    stranger.tell("settled");
    stranger.says("settled");
    // Dialed by an honest node it fares no better.
    let mut honest = Process::start("d", &[&stranger.address, &seed]);
    honest.tell("settled");
    honest.says("settled");
    honest.sees_up(&a);
    exchange(&mut a, &mut b, GREETINGS, 1000);
    for peer in [&mut a, &mut b, &mut stranger] {
        peer.never_said("down");
    }
    stranger.never_said("up");
    a.never_said("up c");
    honest.never_said("up c");
    // Whoever is dialed counts them, and so does whoever dials.
    for peer in [&mut a, &mut honest] {
        peer.tell("stats wrong_cookie 1");
        peer.hear("stats wrong_cookie");
    }
}

fn another_cluster_is_refused() {
    let (mut a, mut b) = pair();
    let seed = a.address.clone();
    let stranger = Launch {
        cluster: "other",
        ..Launch::new("c", &[&seed])
    };
    let mut stranger = stranger.start();
    stranger.tell("settled");
    stranger.says("settled");
    exchange(&mut a, &mut b, GREETINGS, 1000);
    stranger.never_said("up");
    a.never_said("up c");
    a.never_said("down");
}

fn a_killed_peer() {
    let (at_a, at_b) = (free_address(), free_address());
    // So patient that nothing but the end of its connection tells that a peer is gone.
    let patient = Process::launch_at("a", &at_a, &[&at_b]).set("unreachable_after", 30_000);
    let mut a = patient.start();
    let mut b = Process::start_at("b", &at_b, &[&at_a]);
    a.sees_up(&b);
    for _ in 0..3 {
        let first_life = b.incarnation.clone();
        b.kill();
        a.says_within(&format!("down {first_life}"), Duration::from_secs(10));
        b = Process::start_at("b", &at_b, &[&at_a]);
        assert_ne!(b.incarnation, first_life);
        a.sees_up(&b);
        b.sees_up(&a);
    }
    settle(&mut a, &mut b);
}

fn two_that_dial_each_other() {
    for _ in 0..5 {
        let (at_a, at_b) = (free_address(), free_address());
        let mut a = Process::launch_at("a", &at_a, &[&at_b]).launch();
        let mut b = Process::launch_at("b", &at_b, &[&at_a]).launch();
        a.is_listening();
        b.is_listening();
        settle(&mut a, &mut b);
        a.sees_up(&b);
        b.sees_up(&a);
        for peer in [&mut a, &mut b] {
            peer.never_said("up");
            peer.never_said("down");
        }
        a.tell(&format!("send {} 1000 100", b.incarnation));
        a.says("sent 0");
        a.stops();
        // It came up once; the stop is what ends it, and nothing before.
        b.says(&format!("down {}", a.incarnation));
        a.never_said("up");
        b.never_said("up");
    }
}

/// Waits until two peers that dial each other are done with it.
fn settle(a: &mut Process, b: &mut Process) {
    for peer in [&mut *a, &mut *b] {
        peer.tell("settled");
        peer.says("settled");
    }
    for peer in [a, b] {
        peer.tell("sessions 1");
        peer.says("sessions 1");
        peer.tell("peers 1");
        peer.says("peers 1");
    }
}

fn a_discovered_node() {
    let mut a = Process::start("a", &[]);
    let mut b = Process::start("b", &[]);
    b.tell(&format!("discovered a {} {}", a.incarnation, a.address));
    a.tell(&format!("discovered b {} {}", b.incarnation, b.address));
    a.sees_up(&b);
    b.sees_up(&a);
    exchange(&mut a, &mut b, GREETINGS, 1000);
    // The larger name did nothing about it.
    a.tell("sessions 1");
    a.says("sessions 1");
    b.tell("sessions 1");
    b.says("sessions 1");
}

fn a_stop_hands_over() {
    // It listens there again, where nobody else may listen meanwhile.
    let seed_is_own = free_address();
    let mut a = Process::start_at("a", &seed_is_own, &[]);
    let mut b = Process::start("b", &[&seed_is_own]);
    a.sees_up(&b);
    b.sees_up(&a);
    a.tell(&format!("send {} 50000 100", b.incarnation));
    a.stops();
    b.says(&format!("down {}", a.incarnation));
    b.tell(&format!("expect {} {}", a.incarnation, GREETINGS + 50_000));
    b.says(&format!("got {} 0", GREETINGS + 50_000));
    a.exits();
    // Its own address among its seeds is no reason to wait.
    let mut again = Process::start_at("a", &seed_is_own, &[&seed_is_own]);
    again.tell("settled");
    again.says("settled");
    again.tell("sessions 0");
    again.says("sessions 0");
    again.never_said("up");
    b.sees_up(&again);
}

fn a_goodbye_is_heard() {
    // A machine with much else to do may be late now and then, but not always.
    let heard = (0..5).any(|_| {
        let (mut a, mut b) = pair();
        let heard = a.stops();
        b.says(&format!("down {}", a.incarnation));
        heard
    });
    assert!(heard);
}

fn only_gateways() {
    let (mut a, mut b) = pair();
    for peer in [&mut a, &mut b] {
        peer.tell("remotable");
        peer.says("remotable 2");
    }
}

fn actors_that_die() {
    let (mut a, mut b) = pair();
    for actor in ["gateway", "server"] {
        a.tell(&format!("kill {actor}"));
        a.says(&format!("down {}", b.incarnation));
        b.says(&format!("down {}", a.incarnation));
        a.sees_up(&b);
        b.sees_up(&a);
        exchange(&mut a, &mut b, GREETINGS, 1000);
    }
}
