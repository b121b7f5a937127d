//! Groups, grants and restrictions through the API.

use serde_json::{Value, json};

use super::stage::{Stage, value};

#[tokio::test]
async fn group_narrows_a_channel_to_its_members_until_the_restriction_is_lifted() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
    let alice = value(&stage.post(&root, &at("seats/alice/token"), Value::Null).await);
    let bob = value(&stage.post(&root, &at("seats/bob/token"), Value::Null).await);
    let created = stage.post(&root, &at("groups"), json!({"name": "builders"})).await;
    assert_eq!((created.status, created.header("location")), (201, Some(&*at("groups/builders"))));
    let added = stage.put(&root, &at("groups/builders/members/alice"), Value::Null).await;
    assert_eq!((added.status, &added.json()["members"]), (201, &json!(["alice"])));
    let again = stage.put(&root, &at("groups/builders/members/alice"), Value::Null).await;
    assert_eq!((again.status, again.json()), (200, added.json()));
    stage.put(&root, &at("groups/builders/members/bob"), Value::Null).await;
    stage.delete(&root, &at("groups/builders/members/bob")).await;
    let granted = stage.put(&root, &at("groups/builders/grants/main"), json!({"permission": "write"})).await;
    assert_eq!(
        granted.json()["grants"],
        json!([{"channel": "main", "permission": "write", "packages": [], "labels": []}])
    );
    let raised = stage.put(&root, &at("groups/builders/grants/main"), json!({"permission": "admin"})).await;
    assert_eq!((granted.status, raised.status), (201, 200));
    assert_eq!(
        (stage.reads(&alice).await, stage.reads(&bob).await),
        ("200".into(), "403 channel_forbidden".into())
    );
    // What changed, not all that the group is: its audit grows with its changes alone.
    let audit = stage.get(&root, &at("audit?limit=1000")).await.json();
    let records = audit.as_array().unwrap();
    let [.., joined, left, first, second] = &records[..] else { panic!("{audit}") };
    let told = |record: &Value| (record["action"].clone(), record["before"].clone(), record["after"].clone());
    let (nothing, with_bob) =
        (json!({"members": [], "grants": {}}), json!({"members": ["bob"], "grants": {}}));
    let main = |permission: &str| json!({"members": [], "grants": {"main": permission}});
    assert_eq!(told(joined), (json!("group.add"), nothing.clone(), with_bob.clone()));
    assert_eq!(told(left), (json!("group.remove"), with_bob, nothing.clone()));
    assert_eq!(told(first), (json!("group.grant"), nothing, main("write")));
    assert_eq!(told(second), (json!("group.grant"), main("write"), main("admin")));
    let nested = stage.put(&root, &at("groups/builders/grants/team%2Fnested"), Value::Null).await;
    let whole = json!({"channel": "team/nested", "permission": "read", "packages": [], "labels": []});
    assert_eq!(nested.json()["grants"][1], whole);
    // Narrowed, and widened again; what cannot be is refused, and changes nothing.
    let terms = json!({"packages": ["numpy*"], "labels": ["main", "dev"]});
    let narrowed = stage.put(&root, &at("groups/builders/grants/team%2Fnested"), terms).await;
    let grant = narrowed.json()["grants"][1].clone();
    assert_eq!((narrowed.status, &grant["packages"]), (200, &json!(["numpy*"])));
    assert_eq!((&grant["labels"], &grant["permission"]), (&json!(["dev", "main"]), &json!("read")));
    for terms in [
        json!({"packages": ["numpy>=1"]}),
        json!({"packages": "numpy"}),
        json!({"labels": ["a/b"]}),
        json!({"labels": (0..33).map(|number| format!("l{number}")).collect::<Vec<_>>()}),
        json!({"package": ["numpy"]}),
    ] {
        let refused = stage.put(&root, &at("groups/builders/grants/team%2Fnested"), terms).await;
        assert_eq!(refused.verdict(), "422 value_invalid");
    }
    let kept = stage.get(&root, &at("groups/builders")).await;
    assert_eq!(kept.json()["grants"][1], grant);
    assert_ne!(kept.header("etag"), nested.header("etag"), "another version of the group");
    stage.put(&root, &at("groups/builders/grants/team%2Fnested"), Value::Null).await;
    let listed = stage.get(&root, &at("restrictions")).await.json();
    assert_eq!(listed[0], json!({"org": "acme", "channel": "main", "groups": ["builders"]}));
    let one = stage.get(&root, &at("restrictions/team%2Fnested")).await;
    assert_eq!(one.json()["channel"], "team/nested");
    let ungranted = stage.delete(&root, &at("groups/builders/grants/main")).await;
    assert_eq!(ungranted.json()["grants"].as_array().unwrap().len(), 1);
    assert_eq!(stage.reads(&alice).await, "403 channel_forbidden");
    let lifted = stage.delete(&root, &at("restrictions/main")).await;
    assert_eq!((lifted.status, lifted.json()["channel"].as_str()), (200, Some("main")));
    assert_eq!((stage.reads(&alice).await, stage.reads(&bob).await), ("200".into(), "200".into()));
    assert_eq!(stage.delete(&root, &at("restrictions/main")).await.verdict(), "404 not_found");
    let removed = stage.delete(&root, &at("groups/builders/members/alice")).await;
    assert_eq!(removed.json()["members"], json!([]));
    assert_eq!(stage.delete(&root, &at("groups/builders/members/alice")).await.verdict(), "404 not_found");
    assert_eq!(
        stage.put(&root, &at("groups/builders/grants/open"), Value::Null).await.verdict(),
        "422 value_invalid"
    );
    assert_eq!(
        stage.put(&root, &at("groups/builders/members/eve"), Value::Null).await.verdict(),
        "404 not_found"
    );
    assert_eq!(stage.post(&root, &at("groups"), json!({"name": "builders"})).await.verdict(), "409 conflict");
}
