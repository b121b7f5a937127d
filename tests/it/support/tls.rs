//! A certificate for a gate, and clients that trust it and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A self-signed certificate for `localhost`, in files.
pub struct Identity {
    directory: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(directory.path().join("certificate.pem"), own.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), own.signing_key.serialize_pem()).unwrap();
        Self { directory, certificate: own.cert.der().clone() }
    }

    /// The line of configuration that makes a gate use it.
    pub fn setting(&self) -> String {
        let at = self.directory.path().display();
        format!("listen.tls = {{ certificate = \"{at}/certificate.pem\", key = \"{at}/key.pem\" }}")
    }

    /// The certificate's file, in PEM.
    pub fn certificate(&self) -> std::path::PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Connects, offering these protocols.
    pub async fn connect(&self, address: SocketAddr, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    }
}
