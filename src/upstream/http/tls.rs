//! Whom an https upstream is trusted by: the platform's root certificates, and those of the `ca_file`.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The platform's root certificates, read when they are first needed. `SSL_CERT_FILE` and `SSL_CERT_DIR` override where from.
#[derive(Default)]
pub(in crate::upstream) struct PlatformRoots(OnceLock<RootCertStore>);

impl PlatformRoots {
    fn store(&self) -> &RootCertStore {
        self.0.get_or_init(|| {
            let mut store = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "some of the platform's root certificates cannot be read");
            }
            store.add_parsable_certificates(found.certs);
            store
        })
    }

    /// The TLS settings for one upstream. `needs_roots`: it is https itself, so that no roots at all are a mistake.
    ///
    /// # Errors
    ///
    /// The key and the problem.
    pub(in crate::upstream) fn client_config(
        &self,
        ca_file: Option<&Path>,
        needs_roots: bool,
    ) -> Result<ClientConfig, (&'static str, String)> {
        let mut store = self.store().clone();
        if let Some(path) = ca_file {
            add_file(&mut store, path).map_err(|problem| ("ca_file", problem))?;
        }
        if needs_roots && store.is_empty() {
            return Err((
                "url",
                "is https, and this machine has no root certificates; install them or give ca_file"
                    .to_owned(),
            ));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ("url", format!("is https, and TLS is not usable: {error}")))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let bad = |error: &dyn std::fmt::Display| {
        format!("names {}, which is no readable file of PEM certificates: {error}", path.display())
    };
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        store.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        added += 1;
    }
    if added == 0 { Err(bad(&"it holds none")) } else { Ok(()) }
}
