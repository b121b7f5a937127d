//! Pieces: their bound, their order, the end, and a file that is not in memory.

use std::future::poll_fn;
use std::io::Write as _;

use rustix::fs::{Advice, fadvise};

use super::*;

fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    Arc::new(file)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn read(reader: &mut Reader, bytes_max: u64) -> Option<Bytes> {
    poll_fn(|context| reader.poll_piece(bytes_max, context)).await.transpose().unwrap()
}

#[tokio::test]
async fn pieces_are_bounded_and_together_the_file() {
    let bytes = pattern(300_000);
    let mut reader = Reader::new(file(&bytes), 0, None);
    let mut whole = Vec::new();
    while let Some(piece) = read(&mut reader, u64::MAX).await {
        assert!(piece.len() as u64 <= PIECE_BYTES_MAX, "{}", piece.len());
        whole.extend_from_slice(&piece);
    }
    assert!(whole == bytes);
    assert_eq!(reader.offset(), 300_000);
}

#[tokio::test]
async fn piece_ends_where_it_is_told_and_begins_where_it_is_told() {
    let bytes = pattern(1_000);
    let mut reader = Reader::new(file(&bytes), 10, None);
    assert_eq!(read(&mut reader, 5).await.unwrap(), bytes[10..15]);
    assert_eq!(read(&mut reader, 5).await.unwrap(), bytes[15..20]);
}

#[tokio::test]
async fn file_that_is_not_in_memory_is_read_all_the_same() {
    let bytes = pattern(500_000);
    let file = file(&bytes);
    fadvise(&*file, 0, None, Advice::DontNeed).unwrap();
    let mut reader = Reader::new(file, 0, None);
    let mut whole = Vec::new();
    while let Some(piece) = read(&mut reader, u64::MAX).await {
        whole.extend_from_slice(&piece);
    }
    assert!(whole == bytes);
}

#[tokio::test]
async fn growing_file_goes_on_behind_its_end() {
    let file = file(b"begun");
    let mut reader = Reader::new(Arc::clone(&file), 0, None);
    assert_eq!(read(&mut reader, 100).await.unwrap(), "begun");
    assert!(read(&mut reader, 100).await.is_none());
    (&*file).write_all(b", done").unwrap();
    assert_eq!(read(&mut reader, 100).await.unwrap(), ", done");
}

#[tokio::test]
async fn unreadable_file_is_an_error() {
    let directory = Arc::new(File::open("/").unwrap());
    let mut reader = Reader::new(directory, 0, None);
    let read = poll_fn(|context| reader.poll_piece(10, context)).await;
    assert!(matches!(read, Some(Err(_))));
}
