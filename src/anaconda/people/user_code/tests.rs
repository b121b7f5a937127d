//! Codes that people type.

use std::collections::HashSet;

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::UserCode;

#[test]
fn random_codes_have_two_halves_and_every_letter() {
    let mut seen = HashSet::new();
    for _ in 0..300 {
        let code = UserCode::random().unwrap().to_string();
        let (left, right) = code.split_once('-').unwrap();
        assert_eq!((left.len(), right.len()), (5, 5), "{code}");
        assert!(seen.insert(code));
    }
    let letters: HashSet<char> = seen.iter().flat_map(|code| code.chars()).collect();
    assert_eq!(letters.len(), 21, "twenty letters and the hyphen: {letters:?}");
}

#[test]
fn code_is_read_however_it_is_typed() {
    let code = UserCode::parse("BCDFG-HJKLM").unwrap();
    for typed in ["bcdfghjklm", " BCDFG HJKLM ", "b-c-d-f-g-h-j-k-l-m", "BCDFG\u{2013}hjklm", "bcdfg_hjklm\t"]
    {
        assert!(UserCode::parse(typed) == Some(code), "{typed}");
    }
    for typed in [
        "",
        "-",
        "BCDFG",
        "BCDFG-HJKLMN",
        "BCDFG-HJKLA",
        "BCDFG-HJKL0",
        "BCDFG/HJKLM",
        "ＢCDFG-HJKLM",
        "BCDFG-HJKL\u{212A}",
        "BCDFG.HJKLM",
    ] {
        assert!(UserCode::parse(typed).is_none(), "{typed}");
    }
    assert!(UserCode::parse(&format!("{}BCDFGHJKLM", " ".repeat(100))).is_none());
}

#[test]
fn digest_depends_on_the_code_and_on_the_key() {
    let key = |byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
    let (one, other) = (UserCode::parse("BCDFG-HJKLM").unwrap(), UserCode::parse("BCDFG-HJKLN").unwrap());
    assert_eq!(one.digest(&key(1)), UserCode::parse("bcdfghjklm").unwrap().digest(&key(1)));
    assert_ne!(one.digest(&key(1)), other.digest(&key(1)));
    assert_ne!(one.digest(&key(1)), one.digest(&key(2)));
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(text in "[BCDFGHJKLMNPQRSTVWXZ]{10}", garbage in ".{0,80}") {
        let code = UserCode::parse(&text).unwrap();
        prop_assert!(UserCode::parse(&code.to_string()) == Some(code));
        if let Some(code) = UserCode::parse(&garbage) {
            prop_assert_eq!(code.to_string().len(), 11);
        }
    }
}
