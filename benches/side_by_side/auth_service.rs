//! The service that nginx asks about each request: hyper, one thread, the tokens in a hash map. It does nothing but that, so that the
//! comparison flatters it. The bench starts itself a second time to be it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers until the process is ended: 200 for a token that stands in the file, 403 else.
pub(crate) async fn serve(address: SocketAddr, tokens: &Path) {
    let text = std::fs::read_to_string(tokens).unwrap();
    let known: Arc<HashSet<String>> = Arc::new(text.lines().map(str::to_owned).collect());
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let known = Arc::clone(&known);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let mut response = Response::new(Empty::<Bytes>::new());
                if !token(&request).is_some_and(|token| known.contains(token)) {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                }
                std::future::ready(Ok::<_, Infallible>(response))
            });
            // Whatever ends a connection is nginx's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn token(request: &Request<Incoming>) -> Option<&str> {
    let asked = request.headers().get("x-original-uri")?.to_str().ok()?;
    Some(asked.strip_prefix("/t/")?.split_once('/')?.0)
}
