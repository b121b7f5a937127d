//! Files that are served without being kept: each reader gets all of them, proven, and the reason is counted.

use std::sync::Arc;

use channelgate::cache::{Bypass, Check, FillError, Inspect, Inspection, Landed};
use channelgate::semantics::ByteRange;
use http_body_util::BodyExt as _;

use super::stage::{Got, LENGTH, Stage, Told, body, consume, honest, read, upstreams};
use crate::support::faulty::{Faulty, Gate, Reply};

const V1: &str = "\"v1\"";
const CAPACITY: u64 = 1 << 20;
const LARGE: usize = 3 << 20;

#[tokio::test]
async fn file_that_must_not_be_stored_passes_to_each_by_itself() {
    let bytes = body(LENGTH, 1);
    let sent = bytes.clone();
    let server = Faulty::start(move |seen| honest(seen, &sent, V1).header("Cache-Control", "no-store")).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&bytes)));
    let (first, second) = tokio::join!(stage.fetch(&order), stage.fetch(&order));
    for landed in [first, second] {
        let Ok(Landed::Through(through)) = landed else { panic!("kept") };
        assert_eq!(through.reason(), Bypass::NoStore);
        assert_eq!(consume(Landed::Through(through), None).await, Got::Whole(bytes.clone()));
    }
    let range = Some(ByteRange::Between(10, 99));
    assert_eq!(stage.download(&order, range).await, Got::Whole(bytes[10..100].to_vec()));
    let range = Some(ByteRange::Last(100_000));
    assert_eq!(stage.download(&order, range).await, Got::Whole(bytes[LENGTH - 100_000..].to_vec()));
    assert_eq!(server.seen().len(), 4);
    assert_eq!(stage.meters.bypasses(Bypass::NoStore).get(), 4);
    assert_eq!(stage.kept(&order).await, None);
}

#[tokio::test]
async fn file_larger_than_the_cache_passes_and_is_resumed_and_proven() {
    let bytes = body(LARGE, 1);
    for (is_flipped, name) in [(false, "right"), (true, "flipped")] {
        let mut sent = bytes.clone();
        sent[LARGE - 1] ^= u8::from(is_flipped);
        let server = Faulty::start(move |seen| match seen.header("Range") {
            Some(_) => honest(seen, &sent, V1),
            None => {
                Reply::new(200).header("ETag", V1).body(&sent[..LARGE / 2]).announce(LARGE as u64).close()
            }
        })
        .await;
        let stage = Stage::with_capacity(CAPACITY);
        let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&bytes)));
        let got = stage.download(&order, None).await;
        match is_flipped {
            false => assert!(got == Got::Whole(bytes.clone()), "{name}"),
            // All but what is held back.
            true => assert_eq!(got, Got::Aborted(LARGE - 64 * 1024), "{name}"),
        }
        assert_eq!(server.seen().len(), 2, "{name}");
        assert_eq!(stage.meters.bypasses(Bypass::DiskFull).get(), 1, "{name}");
        assert_eq!(stage.meters.verification_failures.get(), u64::from(is_flipped), "{name}");
        assert_eq!(stage.kept(&order).await, None, "{name}");
    }
}

/// Without a length the disk shows itself full only in the middle: one reader goes on with what is on its way, the other asks for the rest.
#[tokio::test]
async fn readers_go_on_when_the_disk_is_full_in_the_middle() {
    for is_flipped in [false, true] {
        let bytes = body(LARGE, 1);
        let mut sent = bytes.clone();
        sent[LARGE - 1] ^= u8::from(is_flipped);
        let gate = Gate::default();
        let opens = gate.clone();
        let server = Faulty::start(move |seen| match seen.header("Range") {
            Some(_) => honest(seen, &sent, V1),
            None => {
                let (begin, rest) = sent.split_at(200_000);
                Reply::new(200).header("ETag", V1).chunked().body(begin).until(&opens).body(rest)
            }
        })
        .await;
        let stage = Stage::with_capacity(CAPACITY);
        let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&bytes)));
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let Ok(Landed::Filling(filling)) = stage.fetch(&order).await else { panic!("not on its way") };
            let mut body = filling.body(None);
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            bodies.push((first, body));
        }
        gate.open();
        for (first, body) in bodies {
            match read(body, || {}).await {
                Got::Whole(rest) => {
                    assert!(!is_flipped, "a wrong file to its end");
                    assert!([&first[..], &rest[..]].concat() == bytes);
                }
                Got::Aborted(_) => assert!(is_flipped, "broken off"),
                refused => panic!("{refused:?}"),
            }
        }
        stage.idle().await;
        assert_eq!(server.seen().len(), 2);
        assert_eq!(stage.meters.bypasses(Bypass::DiskFull).get(), 1);
        assert_eq!(stage.kept(&order).await, None);
        assert_eq!(stage.disk.totals().objects, 0);
    }
}

struct Never;

impl Inspect for Never {
    fn begin(&self, _: usize) -> std::io::Result<Box<dyn Inspection>> {
        panic!("what cannot be kept cannot be inspected")
    }
}

#[tokio::test]
async fn file_to_be_inspected_does_not_pass_unkept() {
    for (capacity, reason) in [(1 << 30, Bypass::NoStore), (4096, Bypass::DiskFull)] {
        let server = Faulty::start(move |_| {
            let reply = Reply::new(200).body(body(LENGTH, 1));
            if reason == Bypass::NoStore { reply.header("Cache-Control", "no-store") } else { reply }
        })
        .await;
        let stage = Stage::with_capacity(capacity);
        let order = stage.order(&upstreams(&[&server]), Check::Inspect(Arc::new(Never)));
        let Err(FillError::Unkept(unkept)) = stage.fetch(&order).await else { panic!("it landed") };
        assert_eq!(unkept, reason);
        assert_eq!(stage.meters.bypasses(reason).get(), 1);
    }
}
