//! A browser without a window: follows redirects, keeps cookies, fills in forms; for the tests in which a page is a step and not the matter.
//!
//! `browser.rs` drives a real one. This one also sends what a real one would not.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use url::{Url, form_urlencoded};

use super::html::{self, Form};

/// Somebody with cookies.
pub(crate) struct Visitor {
    tls: Arc<ClientConfig>,
    /// By the origin they came from, and their names.
    cookies: BTreeMap<(String, String), String>,
    /// Sent with each request, as it is.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    /// As they came, their names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Visitor {
    /// One who trusts this authority and no other.
    pub(crate) fn trusting(authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        Self { tls, cookies: BTreeMap::new(), headers: Vec::new() }
    }

    /// Opens a page, wherever that leads.
    pub(crate) fn open(&mut self, url: &str) -> Page {
        let page = self.ask("GET", &Url::parse(url).unwrap(), None);
        self.follow(page)
    }

    /// Presses a button of a form, as a person who has filled in these fields.
    pub(crate) fn press(&mut self, form: &Form, button: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.press_once(form, button, fields);
        self.follow(page)
    }

    /// The answer to that itself, which may be a redirect.
    pub(crate) fn press_once(&mut self, form: &Form, button: &str, fields: &[(&str, &str)]) -> Page {
        let filled = form.filled(button, fields);
        let sent = form_urlencoded::Serializer::new(String::new()).extend_pairs(filled).finish();
        if form.is_query {
            let mut url = form.action.clone();
            url.set_query(Some(&sent));
            return self.ask("GET", &url, None);
        }
        self.ask("POST", &form.action, Some(&sent))
    }

    /// One request and its answer.
    pub(crate) fn ask(&mut self, method: &str, url: &Url, form: Option<&str>) -> Page {
        let origin = url.origin().ascii_serialization();
        let mut request = format!("{method} {}", url.path());
        if let Some(query) = url.query() {
            request.push_str(&format!("?{query}"));
        }
        let authority = url.authority();
        request.push_str(&format!(
            " HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nAccept: text/html\r\n"
        ));
        let cookies: Vec<String> = (self.cookies.iter())
            .filter(|((from, _), _)| *from == origin)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(form) = form {
            if !self.headers.iter().any(|(name, _)| *name == "Origin") {
                request.push_str(&format!("Origin: {origin}\r\n"));
            }
            let length = form.len();
            let kind = "application/x-www-form-urlencoded";
            request.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"));
        }
        request.push_str(&format!("\r\n{}", form.unwrap_or_default()));
        let page = parse(url.clone(), &self.exchange(url, request.as_bytes()));
        for cookie in page.all("set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (origin.clone(), name.trim().to_owned());
            let ended = value.is_empty() || cookie.to_lowercase().contains("max-age=0");
            match ended {
                true => self.cookies.remove(&key),
                false => self.cookies.insert(key, value.to_owned()),
            };
        }
        page
    }

    /// Where a redirect leads, at most ten times.
    pub(crate) fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..10 {
            let Some(next) = page.location() else { return page };
            page = self.ask("GET", &next, None);
        }
        panic!("redirects without end, last to {}", page.url);
    }

    /// The cookies that there are for an origin: names and values.
    pub(crate) fn cookies(&self, origin: &str) -> Vec<(&str, &str)> {
        let of = self.cookies.iter().filter(|((from, _), _)| from == origin);
        of.map(|((_, name), value)| (name.as_str(), value.as_str())).collect()
    }

    fn exchange(&self, url: &Url, request: &[u8]) -> Vec<u8> {
        let name = ServerName::try_from(url.host_str().unwrap().to_owned()).unwrap();
        let tcp = TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{url}: {error}"));
        answer
    }
}

impl Page {
    /// The only value of a header.
    pub(crate) fn header<'p>(&'p self, name: &'p str) -> Option<&'p str> {
        let mut values = self.all(name);
        let first = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        first
    }

    pub(crate) fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.headers.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> Option<Url> {
        let location = self.header("location").filter(|_| (300..400).contains(&self.status))?;
        Some(self.url.join(location).unwrap())
    }

    /// What a person reads, its white space made one.
    pub(crate) fn text(&self) -> String {
        html::text(&self.body)
    }

    /// The form with this button.
    #[track_caller]
    pub(crate) fn form(&self, button: &str) -> Form {
        let forms = html::forms(&self.body, &self.url);
        forms.into_iter().find(|form| form.has_button(button)).unwrap_or_else(|| {
            panic!("{} at {} has no button {button:?}:\n{}", self.status, self.url, self.body)
        })
    }
}

fn parse(url: Url, answer: &[u8]) -> Page {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = answer[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body);
    }
    Page { url, status, headers, body: String::from_utf8(body).unwrap() }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
