//! Forms: what is read, and what is not.

use http::HeaderMap;
use proptest::prelude::*;
use url::form_urlencoded;

use super::{Fields, FormError};

#[test]
fn fields_are_decoded_and_empty_ones_are_absent() {
    let fields = Fields::parse(b"user=al%20ice&password=a+b%26%C3%A9&next=&flag").unwrap();
    assert_eq!(fields.get("user"), Some("al ice"));
    assert_eq!(fields.get("password"), Some("a b&é"));
    assert_eq!(fields.get("next"), None);
    assert_eq!(fields.get("flag"), None);
    assert_eq!(fields.get("other"), None);
    assert!(Fields::of_query(None).unwrap() == Fields::default());
}

#[test]
fn what_is_no_form_of_the_gates_is_told_why() {
    for (text, error) in [
        (b"a=1&a=2".to_vec(), FormError::Twice),
        (b"a=%ff".to_vec(), FormError::Encoding),
        (b"\xff=1".to_vec(), FormError::Encoding),
        ((0..40).map(|n| format!("f{n}=1&")).collect::<String>().into_bytes(), FormError::TooMany),
        (vec![b'x'; 9_000], FormError::TooLong),
    ] {
        assert_eq!(Fields::parse(&text).err(), Some(error));
    }
    let media = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", value.parse().unwrap());
        Fields::of_body(&headers, b"a=1").map(|fields| fields.get("a") == Some("1"))
    };
    assert_eq!(media("application/x-www-form-urlencoded"), Ok(true));
    assert_eq!(media("Application/X-WWW-Form-Urlencoded; charset=utf-8"), Ok(true));
    assert_eq!(media("text/plain"), Err(FormError::MediaType), "what another site can send without asking");
    assert_eq!(media("application/json"), Err(FormError::MediaType));
    assert_eq!(Fields::of_body(&HeaderMap::new(), b"a=1").err(), Some(FormError::MediaType));
}

proptest! {
    #[test]
    fn what_a_browser_writes_is_read_again(pairs in proptest::collection::btree_map("[a-z]{1,8}", "[^\u{fffd}]{1,20}", 0..8)) {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let fields = Fields::parse(text.as_bytes()).unwrap();
        for (name, value) in &pairs {
            prop_assert_eq!(fields.get(name), Some(value.as_str()));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Fields::parse(&bytes);
    }
}
