//! A seed whose name stands for several nodes, the node itself among them.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::{io, thread};

use crate::process::{Process, free_address};
use crate::{GREETINGS, exchange};

/// Hands what one end sends to the other until it sends no more.
fn relay(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Whoever ends first ends both.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// An address that leads to one node the first time, and to another one from then on, as that of
/// a service does.
fn service(first: String, then: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let targets = std::iter::once(first).chain(std::iter::repeat(then));
        for target in targets {
            let (dialer, _) = listener.accept().unwrap();
            let node = TcpStream::connect(target).unwrap();
            relay(dialer.try_clone().unwrap(), node.try_clone().unwrap());
            relay(node, dialer);
        }
    });
    port
}

pub(crate) fn a_name_that_leads_to_the_node_itself() {
    let mut b = Process::start("b", &[]);
    let at_a = free_address();
    let port = service(at_a.clone(), b.address.clone());
    let mut a = Process::start_at("a", &at_a, &[&format!("localhost:{port}")]);
    a.tell("settled");
    a.says("settled");
    a.never_said("up");
    a.sees_up(&b);
    b.sees_up(&a);
    exchange(&mut a, &mut b, GREETINGS, 1_000);
}
