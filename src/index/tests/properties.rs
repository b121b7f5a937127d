//! Properties of whole documents: content does not matter, references do, wherever they stand.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
        Just(json!("https://a.example/only-a-word")),
    ]
}

/// A key that no client resolves the value of.
fn key() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("a key of references", |key| {
        !matches!(key.as_str(), "url" | "base_url" | "shards_base_url" | "fn" | "subdir")
    })
}

fn content() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn record() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((key(), content()), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn reference_elsewhere() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?|ftp|s3|file|HTTP)://[a-z]{1,8}[.]example(/[a-z0-9]{0,4}){0,3}",
        "(https?|data|mailto):[a-z]{1,8}",
        "[/\\\\]{1,4}[a-z]{1,8}[.]example",
        "[ \t\n]{1,3}https://[a-z]{1,8}[.]example",
        "([a-z]{1,3}/)?([.]|%2e|%2E){2}/[a-z]{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn index_without_references_passes_whatever_its_records_say(
        names in prop::collection::vec("[a-z0-9_][a-z0-9._+!-]{0,12}", 0..4),
        record in record(),
        more in content(),
    ) {
        let packages: Map<_, _> = names.into_iter().map(|name| (name, record.clone().into())).collect();
        let document = json!({"info": {"subdir": "linux-64"}, "packages": packages, "v3": {"conda": packages}, "more": more});
        for (kind, bytes) in in_every_form(&document) {
            prop_assert_eq!(verdict(kind, &bytes), Ok(()), "{} as {:?}", document, kind);
        }
    }

    #[test]
    fn index_with_a_url_that_leaves_is_refused_wherever_it_stands(
        mut record in record(),
        layers in prop::collection::vec(prop_oneof![key().prop_map(Some), Just(None)], 0..5),
        reference in reference_elsewhere(),
        in_record in any::<bool>(),
    ) {
        record.insert("url".to_owned(), reference.into());
        let mut value = Value::from(record);
        for layer in layers {
            value = match layer {
                Some(key) => json!({ key: value }),
                None => json!([value]),
            };
        }
        let document = if in_record { json!({"packages": {"x-1-0.conda": {"more": value}}}) } else { json!({"more": value}) };
        for (kind, bytes) in in_every_form(&document) {
            let found = verdict(kind, &bytes).map_err(|(kind, _)| kind);
            prop_assert_eq!(found, Err(FaultKind::LeadsElsewhere), "{} as {:?}", document, kind);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for kind in [JSON, IndexKind::Repodata(Coding::Bzip2), IndexKind::Repodata(Coding::Zstd), IndexKind::Patches] {
            let _ = verdict(kind, &bytes);
        }
        let _ = verdict(IndexKind::Shard, &zstd(&bytes));
    }
}
