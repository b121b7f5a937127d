//! Lanes and conduits on real sockets: order, partial writes, ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn read_exactly(socket: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    socket.read_exact(&mut read).unwrap();
    read
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_slices_of_blanks_are_blank() {
    let lane = Lane::new(FastPaths::Auto);
    let blank = lane.load_file(file(b"x"), 0, 7, false, None);
    assert!(is_blank(&blank) && is_blank(&blank[6..]) && blank.len() == 7);
    assert!(!is_blank(&blank[7..]) && !is_blank(b"") && !is_blank(&[0; 7]));
    assert_eq!(lane.load_file(file(b"x"), 0, BLANK_BYTES_MAX + 1, false, None).len(), BLANK_BYTES_MAX);
}

#[test]
fn loads_go_out_in_order_and_in_parts() {
    let (near, mut far) = pair();
    let lane = Lane::new(FastPaths::Auto);
    lane.load_file(file(b"0123456789"), 2, 5, true, None);
    lane.load_file(file(b"abc"), 0, 3, false, None);
    // A blank may be written in parts.
    assert_eq!(lane.send(&near, 2).unwrap(), 2);
    assert_eq!(lane.send(&near, 100).unwrap(), 3);
    assert_eq!(lane.send(&near, 3).unwrap(), 3);
    assert_eq!(read_exactly(&mut far, 8), b"23456abc");
    let nothing = lane.send(&near, 1).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::InvalidData, "a blank without a load is no byte of anybody's");
}

#[test]
fn file_that_became_shorter_fails() {
    let (near, _far) = pair();
    let lane = Lane::new(FastPaths::Auto);
    let cut = file(b"0123456789");
    lane.load_file(Arc::clone(&cut), 0, 10, false, None);
    cut.set_len(4).unwrap();
    assert_eq!(lane.send(&near, 10).unwrap(), 4);
    assert_eq!(lane.send(&near, 6).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn held_lives_until_its_bytes_are_sent() {
    let (near, _far) = pair();
    let lane = Lane::new(FastPaths::Auto);
    let held: Held = Arc::new(());
    lane.load_file(file(b"0123"), 0, 4, false, Some(Arc::clone(&held)));
    lane.send(&near, 3).unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    lane.send(&near, 1).unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn conduit_is_filled_when_it_is_empty_and_wakes_who_waits() {
    let ((mut upstream, incoming), (near, mut far)) = (pair(), pair());
    incoming.set_nonblocking(true).unwrap();
    let (lane, pipes) = (Lane::new(FastPaths::Auto), Pipes::default());
    let conduit = pipes.conduit().unwrap();
    assert_eq!(conduit.fill(&incoming, 10).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    upstream.write_all(b"0123456789").unwrap();
    assert_eq!(conduit.fill(&incoming, 6).unwrap(), 6, "not a byte more than is asked for");
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    assert!(conduit.poll_empty(&mut context).is_pending());
    assert_eq!(conduit.load(&lane, 6, true).len(), 6);
    lane.send(&near, 4).unwrap();
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    lane.send(&near, 2).unwrap();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(conduit.poll_empty(&mut context).is_ready());
    assert_eq!(conduit.fill(&incoming, 100).unwrap(), 4);
    conduit.load(&lane, 4, false);
    lane.send(&near, 4).unwrap();
    assert_eq!(read_exactly(&mut far, 10), b"0123456789");
    drop(upstream);
    assert_eq!(conduit.fill(&incoming, 1).unwrap(), 0, "its end");
}

#[test]
fn only_empty_pipes_are_used_again() {
    let ((mut upstream, incoming), pipes) = (pair(), Pipes::default());
    let kept = || pipes.0.lock().unwrap().len();
    drop(pipes.conduit().unwrap());
    assert_eq!(kept(), 1);
    let conduit = pipes.conduit().unwrap();
    assert_eq!(kept(), 0);
    upstream.write_all(b"left behind").unwrap();
    conduit.fill(&incoming, 4).unwrap();
    drop(conduit);
    assert_eq!(kept(), 0, "what is left in a pipe belongs to nobody else");
}
