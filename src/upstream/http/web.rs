//! Asking a web service that is no channel: the OpenID provider of those who sign in.
//!
//! Names, addresses, TLS and roots are as for upstreams. Otherwise it is kept small: whole bodies under a limit, one deadline for everything,
//! no redirects (an answer that is one is handed back as it is), https unless the host is this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connect::{Connector, Reach};
use super::tls::PlatformRoots;

/// A client for web services.
#[derive(Clone)]
pub struct Web {
    client: Client<Connector, Full<Bytes>>,
}

/// Why a web service was not asked, or did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The URL is not https, nor http to this machine.
    #[error("{0} is not https")]
    NotHttps(String),
    /// There was no connection, or no answer on it.
    #[error("there is no answer")]
    NoAnswer(#[source] legacy::Error),
    /// It was not over in time.
    #[error("there is no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// It is too long.
    #[error("the answer is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// It broke off.
    #[error("the answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Web {
    /// A client that trusts the platform's root certificates, and those of the PEM file `ca_file` besides.
    ///
    /// # Errors
    ///
    /// What is wrong with certificates, as the end of a sentence that begins with the key `ca_file`.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let tls = PlatformRoots::default().client_config(ca_file, false).map_err(|(_, problem)| problem)?;
        let connector = Connector::new(
            Reach::Own,
            Some(TlsConnector::from(Arc::new(tls))),
            CONNECT_TIMEOUT,
            CONNECT_TIMEOUT,
        );
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOLED_TIMEOUT)
            .pool_max_idle_per_host(POOLED_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .build(connector);
        Ok(Self { client })
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// See [`WebError`].
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, WebError> {
        if !is_acceptable(request.uri()) {
            return Err(WebError::NotHttps(request.uri().host().unwrap_or_default().to_owned()));
        }
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let asking = async {
            let response = self.client.request(request).await.map_err(WebError::NoAnswer)?;
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, read(body).await?))
        };
        timeout(TIMEOUT, asking).await.unwrap_or(Err(WebError::Timeout))
    }
}

async fn read(body: Incoming) -> Result<Vec<u8>, WebError> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(WebError::TooLong),
        Err(error) => Err(WebError::Broken(error)),
    }
}

/// True for https, and for http to this machine, which nobody can listen to on the way.
fn is_acceptable(uri: &Uri) -> bool {
    let is_here = || {
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_here(),
        _ => false,
    }
}

/// For everything, from the name's resolution to the body's last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOLED_TIMEOUT: Duration = Duration::from_secs(30);
const POOLED_MAX: usize = 4;
const BODY_BYTES_MAX: usize = 256 * 1024;
const HEADER_BYTES_MAX: u32 = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::is_acceptable;

    #[test]
    fn only_https_and_this_machine_are_asked() {
        for (uri, acceptable) in [
            ("https://id.example.org/x", true),
            ("http://127.0.0.1:9000/x", true),
            ("http://[::1]:9000/x", true),
            ("http://localhost/x", true),
            ("http://id.example.org/x", false),
            ("http://localhost.evil.test/x", false),
            ("http://10.0.0.1/x", false),
            ("ftp://127.0.0.1/x", false),
            ("/x", false),
        ] {
            assert_eq!(is_acceptable(&uri.parse().unwrap()), acceptable, "{uri}");
        }
    }
}
