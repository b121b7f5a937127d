//! Tests of the file that holds the secret, and of what is sealed under it.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn secret_is_made_once_for_its_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("below/sign-in-secret");
    assert!(GateSecret::load(&file).unwrap().is_none());
    let made = GateSecret::load_or_make(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!((text.len(), mode(&file)), (65, 0o600));
    let again = GateSecret::load_or_make(&file).unwrap();
    assert_eq!(made.derive("a"), again.derive("a"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    let other = GateSecret::load_or_make(&place.path().join("other")).unwrap();
    assert_ne!(made.derive("a"), other.derive("a"));
}

#[test]
fn secret_that_is_none_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("secret");
    GateSecret::load_or_make(&file).unwrap();
    for lax in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&file, Permissions::from_mode(lax)).unwrap();
        let refused = GateSecret::load_or_make(&file).unwrap_err();
        assert!(matches!(refused, SecretError::Open { mode, .. } if mode == lax), "{refused}");
    }
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for content in ["", "0123", &"g".repeat(64), &"0".repeat(66), &"é".repeat(32)] {
        std::fs::write(&file, content).unwrap();
        let refused = GateSecret::load_or_make(&file).unwrap_err();
        assert!(matches!(refused, SecretError::Content { .. }), "{content:?}: {refused}");
    }
    std::fs::write(&file, b"\xff\xfe").unwrap();
    assert!(matches!(GateSecret::load_or_make(&file).unwrap_err(), SecretError::Content { .. }));
    let refused = GateSecret::load_or_make(&file.join("below")).unwrap_err();
    assert!(matches!(refused, SecretError::File { .. }), "{refused}");
}

#[test]
fn sealed_bytes_are_opened_for_their_purpose_only() {
    let (secret, other) = (GateSecret::of(&[1; 32]), GateSecret::of(&[2; 32]));
    assert_ne!(secret.derive("a"), secret.derive("b"));
    let sealed = secret.seal("a", "1", b"hidden").unwrap();
    assert_eq!(sealed.len(), b"hidden".len() + 28);
    assert_ne!(sealed, secret.seal("a", "1", b"hidden").unwrap());
    assert_eq!(secret.open("a", "1", &sealed).as_deref(), Some(&b"hidden"[..]));
    assert_eq!(other.open("a", "1", &sealed), None);
    assert_eq!(secret.open("b", "1", &sealed), None);
    assert_eq!(secret.open("a", "2", &sealed), None);
    for at in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[at] ^= 1;
        assert_eq!(secret.open("a", "1", &bent), None);
        assert_eq!(secret.open("a", "1", &sealed[..at]), None);
    }
}
