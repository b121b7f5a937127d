//! What goes over the wire between a client and a gate: which paths are asked for, and how many bytes come back for each.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy before a gate without TLS. Its threads end with their connections, and the accepting one with the test program.
pub(crate) struct Recorder {
    /// `http://127.0.0.1:1234`.
    pub(crate) origin: String,
    seen: Arc<Mutex<Seen>>,
}

/// The bytes that came back for each path, its head included.
pub(crate) type Seen = BTreeMap<String, usize>;

impl Recorder {
    /// A recorder before what listens at `origin`.
    pub(crate) fn before(origin: &str) -> Self {
        let address = origin.strip_prefix("http://").expect("a gate without TLS").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::new()));
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    let (seen, gate) = (Arc::clone(&seen), TcpStream::connect(&address).unwrap());
                    thread::spawn(move || record(&client, &gate, &seen));
                }
            }
        });
        Self { origin, seen }
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// HTTP/1.1 without pipelining: what comes back on a connection belongs to the last request on it. Requests have no bodies.
fn record(client: &TcpStream, gate: &TcpStream, seen: &Mutex<Seen>) {
    let current = Mutex::new(String::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut head = Vec::new();
            copy(client, gate, |bytes| {
                head.extend_from_slice(bytes);
                if head.ends_with(b"\r\n\r\n") {
                    let path =
                        String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
                    seen.lock().unwrap().entry(path.clone()).or_default();
                    *current.lock().unwrap() = path;
                    head.clear();
                }
            });
        });
        copy(gate, client, |bytes| {
            *seen.lock().unwrap().entry(current.lock().unwrap().clone()).or_default() += bytes.len();
        });
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, mut passing: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        passing(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
