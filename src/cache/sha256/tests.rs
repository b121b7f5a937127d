//! Digests as text, and in pieces.

use super::*;

#[test]
fn digest_reads_what_it_prints_in_either_case_and_nothing_else() {
    let digest = Sha256::of(b"abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse(), Ok(digest));
    assert_eq!(text.to_uppercase().parse(), Ok(digest));
    assert_eq!(serde_json::from_str::<Sha256>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
    let others = [
        String::new(),
        text.replacen('b', "", 1),
        text.replacen("ba", "", 1),
        format!("{text}00"),
        text.replace('b', "g"),
        text.replace('b', "+"),
    ];
    for other in others {
        assert_eq!(other.parse::<Sha256>(), Err(NotADigest), "{other}");
    }
}

#[test]
fn hashing_in_pieces_is_hashing_the_whole_and_a_clone_goes_on_by_itself() {
    let mut hashing = Hashing::new();
    hashing.update(b"a");
    let aside = hashing.clone();
    hashing.update(b"bc");
    assert_eq!((aside.finish(), hashing.finish()), (Sha256::of(b"a"), Sha256::of(b"abc")));
}
