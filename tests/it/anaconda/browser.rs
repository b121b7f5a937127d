//! A browser as far as the gate can tell: TLS, cookies by their prefix and attributes, forms with what their page holds, `Sec-Fetch-Site` and
//! `Origin` as a page of the same origin sends them. And a program that asks for a device's token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded;

use crate::support::client::{Connection, Reply};
use crate::support::gate::Gate;
use crate::support::tls::Identity;

/// The id of anaconda-auth.
pub const CLIENT: &str = "b4ad7f1d-c784-46b5-a9fe-106e50441f5a";

/// What a browser keeps of a gate.
pub struct Browser {
    address: SocketAddr,
    identity: Arc<Identity>,
    pub cookies: BTreeMap<String, String>,
    /// What it says of itself with what it sends; a test may lie.
    pub says: Vec<(String, String)>,
}

/// A page, or whatever else came.
pub struct Shown {
    pub reply: Reply,
    pub text: String,
}

impl Browser {
    /// One that knows nothing yet.
    pub fn of(gate: &Gate, identity: &Arc<Identity>) -> Self {
        let origin = format!("https://localhost:{}", gate.data().port());
        let says =
            vec![("Sec-Fetch-Site".to_owned(), "same-origin".to_owned()), ("Origin".to_owned(), origin)];
        Self { address: gate.data(), identity: Arc::clone(identity), cookies: BTreeMap::new(), says }
    }

    /// Follows a link.
    pub async fn get(&mut self, target: &str) -> Shown {
        self.ask("GET", target, None).await
    }

    /// Sends a form with these fields.
    pub async fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Shown {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", target, Some(&body)).await
    }

    /// Sends the first form of a page to `target`: what is hidden in it, and these fields.
    pub async fn send(&mut self, page: &Shown, target: &str, fields: &[(&str, &str)]) -> Shown {
        let hidden = page.hidden(target);
        let mut all: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        all.extend_from_slice(fields);
        self.post(target, &all).await
    }

    /// Signs in by a password, and follows where it leads.
    pub async fn sign_in(&mut self, user: &str, password: &str) -> Shown {
        let page = self.get("/sign-in").await;
        let answer = self.send(&page, "/sign-in", &[("user", user), ("password", password)]).await;
        match answer.reply.header("location") {
            Some(place) => self.get(place).await,
            None => answer,
        }
    }

    /// Asks by any method, without a body.
    pub async fn ask_with(&mut self, method: &str, target: &str) -> Shown {
        self.ask(method, target, None).await
    }

    async fn ask(&mut self, method: &str, target: &str, body: Option<&str>) -> Shown {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\n", self.address.port());
        if !cookies.is_empty() {
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if let Some(body) = body {
            for (name, value) in &self.says {
                request += &format!("{name}: {value}\r\n");
            }
            let length = body.len();
            request += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        } else {
            request += "\r\n";
        }
        let stream = self.identity.connect(self.address, &[b"http/1.1"]).await;
        let mut connection = Connection::over(stream);
        connection.send_raw(request).await;
        let reply = connection.answer(method).await;
        for (name, line) in &reply.headers {
            if name == "set-cookie" {
                self.keep(line);
            }
        }
        let text = String::from_utf8(reply.body.clone()).unwrap();
        Shown { reply, text }
    }

    fn keep(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        // As a browser that takes no `__Host-` cookie otherwise; and no script has to read it.
        assert!(name.starts_with("__Host-"), "{line}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(attributes.split(';').any(|given| given.trim() == attribute), "{attribute} in {line}");
        }
        assert!(!attributes.contains("Domain"), "{line}");
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Shown {
    /// The heading.
    pub fn heading(&self) -> &str {
        between(&self.text, "<h1>", "</h1>").unwrap_or_else(|| panic!("no page: {:?}", self.reply))
    }

    /// What the page says is wrong.
    pub fn mistake(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("id=\"summary-title\"")?;
        let rest = rest.split_once("<p>")?.1.split_once("</p>")?.0;
        Some(between(rest, ">", "<").unwrap_or(rest))
    }

    /// Where it leads.
    pub fn location(&self) -> &str {
        self.reply
            .header("location")
            .unwrap_or_else(|| panic!("it leads nowhere: {} {}", self.reply.status, self.text))
    }

    /// The hidden fields of the form that is sent to `action`.
    pub fn hidden(&self, action: &str) -> Vec<(String, String)> {
        let forms = self.text.split("<form ").skip(1);
        let form = forms
            .filter(|form| form.contains(&format!("action=\"{action}\"")))
            .find(|form| form.contains("method=\"post\""));
        let form = form
            .unwrap_or_else(|| panic!("no form for {action} in {}", self.text))
            .split("</form>")
            .next()
            .unwrap();
        form.split("<input ")
            .skip(1)
            .filter(|input| input.contains("type=\"hidden\""))
            .map(|input| {
                let attribute = |name: &str| between(input, &format!("{name}=\""), "\"").unwrap().to_owned();
                (attribute("name"), attribute("value").replace("&amp;", "&"))
            })
            .collect()
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// Asks as a program does: a form, no cookies.
pub async fn program(
    gate: &Gate,
    identity: &Identity,
    target: &str,
    fields: &[(&str, &str)],
) -> (u16, Value) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: anaconda-auth/0.15.3 x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        gate.data().port(),
        body.len()
    );
    let mut connection = Connection::over(identity.connect(gate.data(), &[b"http/1.1"]).await);
    connection.send_raw(head + &body).await;
    let reply = connection.answer("POST").await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    (reply.status, reply.json())
}

/// Begins a device's request: the answer of the gate.
pub async fn begin_device(gate: &Gate, identity: &Identity) -> Value {
    let (status, answer) =
        program(gate, identity, "/api/auth/oauth2/device", &[("client_id", CLIENT), ("scope", "openid")])
            .await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Asks for the token of a device: `200`, or the word.
pub async fn poll(gate: &Gate, identity: &Identity, device_code: &str) -> (String, Value) {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code),
        ("client_id", CLIENT),
    ];
    let (status, answer) = program(gate, identity, "/api/auth/oauth2/token", &fields).await;
    match answer["error"].as_str() {
        Some(word) => (word.to_owned(), answer),
        None => (status.to_string(), answer),
    }
}
