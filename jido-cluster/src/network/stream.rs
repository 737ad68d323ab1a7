//! The byte stream of one session, and the switch that cuts it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf, split};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::frame::SessionId;
use super::lookout::Lookout;

/// Bytes that are read at once: the session layer itself reads length by length,
/// in pieces of 8 KiB.
const READ_BUFFER_LEN: usize = 128 * 1024;
/// An idle connection is probed after this long, then every second.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Bytes that nobody acknowledges for this long end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Sets what every connection between nodes needs: no waiting for more to send,
/// and an end when the other machine is gone.
pub(super) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// Cuts a stream for both of its halves, whatever they are waiting for. The
/// session layer then sees the end of its connection.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<SwitchState>);

#[derive(Default)]
struct SwitchState {
    is_cut: AtomicBool,
    heard: AtomicU64,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Switch {
    /// Cuts the stream. More than once is as good as once.
    pub(super) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// How often something has come in by the stream. Whatever came shows that the other
    /// end is there, as the first part of a large frame does.
    pub(super) fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch").field(&self.is_cut()).finish()
    }
}

/// A connection as the session layer takes it. Its label is the session's id,
/// by which the layer's events are told apart.
///
/// Only reading is buffered: the session layer writes all that waits in one piece.
pub(super) struct SessionStream {
    pub(super) session: SessionId,
    pub(super) stream: Connection,
    pub(super) switch: Switch,
    /// As [`NetworkOptions::busy_poll`](super::NetworkOptions::busy_poll) has it.
    pub(super) busy_poll: bool,
}

impl ClusterBidiStream for SessionStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        match self.stream {
            Connection::Plain(stream) => {
                let (read, write) = stream.into_split();
                halves(read, write, self.switch, self.busy_poll)
            }
            Connection::Encrypted(stream) => {
                let (read, write) = split(*stream);
                halves(read, write, self.switch, self.busy_poll)
            }
        }
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.session.to_string())
    }
}

fn halves(
    read: impl AsyncRead + Unpin + Send + 'static,
    write: impl AsyncWrite + Unpin + Send + 'static,
    switch: Switch,
    busy_poll: bool,
) -> (BoxRead, BoxWrite) {
    let read = CutRead {
        inner: read,
        switch: switch.clone(),
        lookout: Lookout::new(busy_poll),
    };
    let write = CutWrite {
        inner: write,
        switch,
    };
    (
        Box::new(BufReader::with_capacity(READ_BUFFER_LEN, read)),
        Box::new(write),
    )
}

struct CutRead<R> {
    inner: R,
    switch: Switch,
    lookout: Lookout,
}

impl<R: AsyncRead + Unpin> AsyncRead for CutRead<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.0.reader.register(cx.waker());
        if self.switch.is_cut() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.switch.0.heard.fetch_add(1, Ordering::Relaxed);
            self.lookout.came();
        } else if read.is_pending() {
            self.lookout.nothing(cx);
        }
        read
    }
}

struct CutWrite<W> {
    inner: W,
    switch: Switch,
}

impl<W> CutWrite<W> {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.switch.0.writer.register(cx.waker());
        if self.switch.is_cut() {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CutWrite<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_reads_and_writes_that_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (here, there) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, mut there) = (here.unwrap(), there.unwrap().0);
        configure(&stream).unwrap();
        let switch = Switch::default();
        let stream = Box::new(SessionStream {
            session: SessionId(1),
            stream: Connection::Plain(stream),
            switch: switch.clone(),
            busy_poll: true,
        });
        assert_eq!(stream.peer_label().unwrap().len(), 32);
        let (mut read, mut write) = stream.split();

        there.write_all(b"x").await.unwrap();
        assert_eq!(switch.heard(), 0);
        assert_eq!(read.read_u8().await.unwrap(), b'x');
        assert_eq!(switch.heard(), 1);
        // Nobody reads at the other end, so that the write comes to wait.
        let written = async {
            loop {
                if let Err(error) = write.write_all(&[0; 65_536]).await {
                    return error.kind();
                }
            }
        };
        let (read, written, ()) = tokio::join!(read.read_u8(), written, async {
            tokio::task::yield_now().await;
            switch.cut();
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(written, io::ErrorKind::BrokenPipe);
    }
}
