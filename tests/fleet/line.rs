//! The line between a gate and its database: it can be cut, fall silent, lose notifications, and lead to another server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A line. It is cut when it is dropped.
pub struct Line {
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

/// What becomes of the bytes on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All arrive.
    Whole,
    /// All but the server's notifications arrive.
    Mute,
    /// None arrives, and no connection ends: as where packets vanish.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct State {
    server: SocketAddr,
    condition: Condition,
}

impl Line {
    /// A whole line to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State { server, condition: Condition::Whole });
        tokio::spawn(async move {
            let mut until_dropped = seen.clone();
            tokio::select! {
                () = accept(listener, seen) => {}
                () = dropped(&mut until_dropped) => {}
            }
        });
        Self { address, state }
    }

    pub fn turn(&self, condition: Condition) {
        self.state.send_modify(|state| state.condition = condition);
    }

    /// Ends every connection, and leads new ones to `server`.
    pub fn lead_to(&self, server: SocketAddr) {
        self.state.send_modify(|state| state.server = server);
    }
}

async fn dropped(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(carry(client, state.clone()));
    }
}

/// Carries what is said on one connection, until either side or the line ends it.
async fn carry(client: TcpStream, mut state: watch::Receiver<State>) {
    let Ok(begun) = state.wait_for(|state| state.condition != Condition::Silent).await.map(|state| *state)
    else {
        return;
    };
    let Ok(server) = TcpStream::connect(begun.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (for_up, for_down) = (state.clone(), state.clone());
    tokio::select! {
        _ = up(from_client, to_server, for_up) => {}
        _ = down(from_server, to_client, for_down) => {}
        _ = state.wait_for(|state| state.server != begun.server) => {}
    }
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> Option<()> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut chunk).await.ok().filter(|&count| count > 0)?;
        passes(&mut state).await?;
        to.write_all(&chunk[..count]).await.ok()?;
    }
}

/// The server's messages, each of which begins with its kind and its length.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> Option<()> {
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut message = head.to_vec();
        message.resize(1 + length, 0);
        from.read_exact(&mut message[head.len()..]).await.ok()?;
        passes(&mut state).await?;
        if head[0] == NOTIFICATION && state.borrow().condition == Condition::Mute {
            continue;
        }
        to.write_all(&message).await.ok()?;
    }
}

async fn passes(state: &mut watch::Receiver<State>) -> Option<()> {
    state.wait_for(|state| state.condition != Condition::Silent).await.ok().map(drop)
}

const NOTIFICATION: u8 = b'A';
