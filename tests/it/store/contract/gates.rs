//! The gates over one store.

use super::*;

use channelgate::store::{Beat, Gate, GateState, GateStatus};
use uuid::Uuid;

fn gate(number: u128, name: &str) -> Gate {
    Gate { id: Uuid::from_u128(number), name: name.into(), version: "1.2.3".into(), started_at: NOW }
}

fn beat(at: Timestamp, state: GateState, position: FeedPosition) -> Beat {
    Beat { at, state, position, proof_age: None }
}

pub(super) async fn gates_are_listed_as_they_last_said_of_themselves(config: &Config) {
    let store = open(config).await;
    assert_eq!(store.gates(10).await.unwrap(), []);
    let (first, second) = (gate(2, "a"), gate(1, "b"));
    let beginning = store.position().await.unwrap();
    store.record_beat(&second, &beat(NOW, GateState::Ready, beginning)).await.unwrap();
    store.record_beat(&first, &beat(NOW, GateState::Unproven, beginning)).await.unwrap();
    create(&store, "acme").await;
    insert(&store, &site("acme"), "1").await;
    insert(&store, &site("acme"), "2").await;
    let end = store.position().await.unwrap();
    let behind = u64::try_from(end.as_number() - beginning.as_number()).unwrap();
    assert!(behind >= 2, "{behind}");
    let late =
        Beat { proof_age: Some(Duration::from_millis(250)), ..beat(later(5), GateState::Ready, beginning) };
    store.record_beat(&first, &late).await.unwrap();
    let latest = beat(later(6), GateState::Draining, end);
    store.record_beat(&second, &latest).await.unwrap();
    assert_eq!(store.position().await.unwrap(), end, "a beat is no change");
    let expected = [
        GateStatus { gate: first.clone(), beat: late, behind },
        GateStatus { gate: second, beat: latest, behind: 0 },
    ];
    assert_eq!(store.gates(10).await.unwrap(), expected);
    assert_eq!(store.gates(1).await.unwrap(), expected[..1]);
    // As after a standby was promoted that had not got everything.
    let ahead = beat(later(7), GateState::Stopped, FeedPosition::from_number(end.as_number() + 5));
    store.record_beat(&first, &ahead).await.unwrap();
    assert_eq!(store.gates(1).await.unwrap(), [GateStatus { gate: first, beat: ahead, behind: 0 }]);
}

pub(super) async fn gates_that_are_dead_are_forgotten(config: &Config) {
    let store = open(config).await;
    let position = store.position().await.unwrap();
    let names = async || {
        let gates = store.gates(10).await.unwrap();
        gates.into_iter().map(|status| (status.gate.name, status.gate.id.as_u128())).collect::<Vec<_>>()
    };
    let says = async |gate: &Gate, at| {
        store.record_beat(gate, &beat(at, GateState::Ready, position)).await.unwrap();
    };
    let (first, former, dead) = (gate(1, "a"), gate(2, "b"), gate(3, "c"));
    for gate in [&first, &former, &dead] {
        says(gate, NOW).await;
    }
    let successor = gate(4, "b");
    says(&successor, later(60)).await;
    assert_eq!(names().await.len(), 4, "two gates may be of one name");
    says(&successor, later(61)).await;
    assert_eq!(names().await, [("a".into(), 1), ("b".into(), 4), ("c".into(), 3)]);
    says(&first, later(24 * 3_600)).await;
    assert_eq!(names().await, [("a".into(), 1), ("b".into(), 4), ("c".into(), 3)]);
    says(&first, later(24 * 3_600 + 1)).await;
    assert_eq!(names().await, [("a".into(), 1), ("b".into(), 4)]);
}
