//! Ports that stay ours.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use crate::{Error, ErrorKind};

/// A loopback port that nobody else gets as long as this lives.
///
/// The socket is bound but doesn't listen, with `SO_REUSEADDR`: so a node that
/// sets that too, as every listener of tokio and std does, can bind the port
/// beside it, connections are refused while the node is down, and the system
/// gives the port neither to other listeners nor to outgoing connections. That is
/// so on Linux. Where the two can't stand side by side, the node reports the
/// address in use.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _reserved: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self, Error> {
        let reserve = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            Ok(Self {
                address: socket.local_addr()?,
                _reserved: socket,
            })
        };
        reserve().map_err(|cause: std::io::Error| {
            Error::new(
                ErrorKind::Machine,
                format!("no loopback port could be reserved: {cause}"),
            )
            .caused_by(cause)
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_reserved_port_refuses_until_its_node_listens_and_after() {
        let port = Port::reserve().unwrap();
        assert!(TcpStream::connect(port.address()).await.is_err());
        for _life in 0..2 {
            let listener = TcpListener::bind(port.address()).await.unwrap();
            let (accepted, _connected) =
                tokio::join!(listener.accept(), TcpStream::connect(port.address()));
            drop(accepted.unwrap());
            drop(listener);
            assert!(TcpStream::connect(port.address()).await.is_err());
        }
    }

    #[tokio::test]
    async fn reserved_ports_differ() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let distinct: BTreeSet<u16> = ports.iter().map(|port| port.address().port()).collect();
        assert_eq!(distinct.len(), ports.len());
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!distinct.contains(&other.local_addr().unwrap().port()));
    }
}
