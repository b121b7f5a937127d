//! Tests of loading and reloading certificates.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::{Tls, TlsError};

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

fn pair() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[test]
fn load_by_mistake() {
    let files = Files::new();
    let (certificate, key) = pair();
    let (_, other_key) = pair();
    let good_certificate = files.write("good.pem", &certificate);
    let good_key = files.write("good.key", &key);
    let other_key = files.write("other.key", &other_key);
    let empty = files.write("empty.pem", "");
    let cut = files.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let garbage =
        files.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = files.path("missing.pem");
    assert!(Tls::load(&good_certificate, &good_key).is_ok());

    let rows = [
        ("missing certificate", &missing, &good_key, "cannot read DIR/missing.pem"),
        ("missing key", &good_certificate, &missing, "cannot read DIR/missing.pem"),
        ("empty certificate", &empty, &good_key, "there is no certificate in DIR/empty.pem"),
        ("key for certificate", &good_key, &good_key, "there is no certificate in DIR/good.key"),
        ("empty key", &good_certificate, &empty, "there is no private key in DIR/empty.pem"),
        (
            "key of another",
            &good_certificate,
            &other_key,
            "the key in DIR/other.key does not belong to the certificate in DIR/good.pem",
        ),
        ("cut short", &cut, &good_key, "DIR/cut.pem is not a PEM file: "),
        ("not a certificate", &garbage, &good_key, "DIR/garbage.pem and DIR/good.key cannot be used: "),
    ];
    for (name, certificate, key, expected) in rows {
        let error = Tls::load(certificate, key).unwrap_err();
        let text = error.to_string().replace(files.directory.path().to_str().unwrap(), "DIR");
        assert!(text.starts_with(expected), "{name}: {text}");
    }
}

#[test]
fn reload_keeps_the_old_on_error() {
    let files = Files::new();
    let (certificate, key) = pair();
    let tls = Tls::load(&files.write("c.pem", &certificate), &files.write("k.pem", &key)).unwrap();
    let before = tls.current.load_full();

    let (next_certificate, next_key) = pair();
    files.write("c.pem", &next_certificate);
    assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })), "only half of the pair is new");
    assert!(Arc::ptr_eq(&before, &tls.current.load_full()));

    files.write("k.pem", &next_key);
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &tls.current.load_full()));
}
