//! Signing in at the organization's own OpenID provider, a real one; and everything that must not sign anybody in.

use serde_json::json;
use url::Url;

use super::browser::play;
use super::login::Login;
use super::person::Person;
use super::provider::Provider;
use super::visitor::{Page, Visitor};
use crate::gate::Gate;

struct Stage {
    gate: Gate,
    provider: Option<Provider>,
}

/// A gate that knows people by their e-mail address, and its provider.
fn stage(strict: bool) -> Stage {
    let (gate, mut provider) = Gate::with_provider();
    let verified = |email: &str| json!({ "email": email, "email_verified": true });
    provider.know(
        &gate.origin,
        strict,
        &json!({
            "iris": verified("iris@example.org"),
            "otto": verified("iris@example.org"),
            "eve": { "email": "eve@example.org", "email_verified": false },
            "guest": verified("guest@example.org"),
            "unnamed": {},
        }),
    );
    for seat in ["iris@example.org", "eve@example.org"] {
        gate.run(&["seat", "assign", "acme", seat]);
    }
    Stage { gate, provider: Some(provider) }
}

impl Stage {
    fn visitor(&self) -> Visitor {
        Visitor::trusting(self.gate.authority.as_ref().unwrap())
    }

    /// Goes to the provider; what it asks first.
    fn depart(&self, visitor: &mut Visitor, next: &str) -> Url {
        let start = format!("{}/sign-in/oidc?next={next}", self.gate.origin);
        let page = visitor.ask("GET", &start.parse().unwrap(), None);
        page.location().unwrap_or_else(|| panic!("{page:?}"))
    }

    /// Signs in at the provider as one of its accounts; where it sends the browser.
    fn at_provider(&self, visitor: &mut Visitor, asked: &Url, account: &str) -> Url {
        let page = visitor.open(asked.as_str());
        let form = page.form("Sign-in");
        let page = visitor.press(&form, "Sign-in", &[("login", account), ("password", "any")]);
        let form = page.form("Continue");
        let mut page = visitor.press_once(&form, "Continue", &[]);
        loop {
            let next = page.location().unwrap_or_else(|| panic!("{page:?}"));
            if next.as_str().starts_with(&self.gate.origin) {
                return next;
            }
            page = visitor.ask("GET", &next, None);
        }
    }

    /// The whole way; the page at its end.
    fn sign_in(&self, visitor: &mut Visitor, account: &str, next: &str) -> Page {
        let asked = self.depart(visitor, next);
        let back = self.at_provider(visitor, &asked, account);
        visitor.open(back.as_str())
    }

    /// Checks that nobody is signed in, and what the person reads.
    fn refuses(&self, visitor: &mut Visitor, page: &Page, words: &str) {
        assert!(page.text().contains(words), "{}: {}", page.status, page.text());
        assert!(page.status >= 400, "{}", page.status);
        let page = visitor.open(&format!("{}/sign-in", self.gate.origin));
        assert!(!page.text().contains("You are signed in"), "{}", page.text());
    }
}

/// The same URL with another value of a parameter of its query.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    assert!(pairs.iter().any(|(given, _)| given == name), "no {name} in {url}");
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(
        pairs
            .into_iter()
            .map(|(given, own)| if given == name { (given, value.to_owned()) } else { (given, own) }),
    );
    changed
}

#[test]
fn browser_signs_in_at_the_provider_and_connects_a_device() {
    let stage = stage(true);
    let person = Person::stranger(&stage.gate, "iris");
    let login = Login::begin(&person, &["auth", "login"]);
    let more = json!({ "provider": stage.provider.as_ref().unwrap().issuer, "title": "Example Corp" });
    play("provider", &person, &login.page, &login.code, more);
    login.end().succeeded();
    person.anaconda(&["auth", "whoami"]).succeeded().says("iris@example.org");
    person.anaconda(&["token", "install", "-y"]).succeeded().says("Success!");
}

#[test]
fn person_of_the_provider_is_who_has_the_seat_and_stays_so() {
    for strict in [true, false] {
        let stage = stage(strict);
        let mut visitor = stage.visitor();
        let page = stage.sign_in(&mut visitor, "iris", "/sign-in");
        assert!(page.text().contains("You are signed in as iris@example.org"), "{}", page.text());
        let cookies = visitor.cookies(&stage.gate.origin);
        assert!(cookies.iter().all(|(name, _)| name.starts_with("__Host-")), "{cookies:?}");
        // Another account of the provider's with the same address is somebody else.
        let mut other = stage.visitor();
        let page = stage.sign_in(&mut other, "otto", "/sign-in");
        stage.refuses(&mut other, &page, "Your name belongs to another account of the provider's");
        // The seat may go and come back: it is the same person.
        let mut again = stage.visitor();
        let page = stage.sign_in(&mut again, "iris", "/sign-in");
        assert!(page.text().contains("You are signed in as iris@example.org"), "{}", page.text());
    }
}

#[test]
fn provider_people_without_a_verified_address_or_a_seat_are_refused() {
    let stage = stage(true);
    for (account, words) in [
        ("eve", "The provider does not say that it has verified your e-mail address"),
        ("guest", "You are known to the provider, but there is no seat for you here."),
        ("unnamed", "The provider does not tell by what name you are known here"),
    ] {
        let mut visitor = stage.visitor();
        let page = stage.sign_in(&mut visitor, account, "/sign-in");
        stage.refuses(&mut visitor, &page, words);
        assert!(page.text().contains("Ask your administrator."), "{}", page.text());
    }
}

#[test]
fn answers_that_do_not_belong_to_this_browser_are_refused() {
    let stage = stage(true);
    let words = "This sign-in was not begun in this browser";
    for (name, value) in [("state", "another"), ("iss", "https://evil.example")] {
        let mut visitor = stage.visitor();
        let asked = stage.depart(&mut visitor, "/sign-in");
        let back = stage.at_provider(&mut visitor, &asked, "iris");
        let page = visitor.open(with(&back, name, value).as_str());
        stage.refuses(&mut visitor, &page, words);
    }
    // An answer is that of the browser that asked; and it is good once.
    let (mut asking, mut other) = (stage.visitor(), stage.visitor());
    let asked = stage.depart(&mut asking, "/sign-in");
    let back = stage.at_provider(&mut asking, &asked, "iris");
    let page = other.open(back.as_str());
    stage.refuses(&mut other, &page, words);
    stage.depart(&mut other, "/sign-in");
    let page = other.open(back.as_str());
    stage.refuses(&mut other, &page, words);
    assert!(asking.open(back.as_str()).text().contains("You are signed in"));
    let mut replaying = stage.visitor();
    let page = replaying.open(back.as_str());
    stage.refuses(&mut replaying, &page, words);
}

#[test]
fn identity_for_another_sign_in_is_refused() {
    let stage = stage(true);
    // What the browser tells the provider is another sign-in's nonce, and another's PKCE challenge.
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    for (name, value) in [("nonce", "another"), ("code_challenge", challenge)] {
        let mut visitor = stage.visitor();
        let asked = with(&stage.depart(&mut visitor, "/sign-in"), name, value);
        let back = stage.at_provider(&mut visitor, &asked, "iris");
        let page = visitor.open(back.as_str());
        stage.refuses(&mut visitor, &page, "The provider's answer does not hold");
    }
    // A code that the provider never gave.
    let mut visitor = stage.visitor();
    let asked = stage.depart(&mut visitor, "/sign-in");
    let back = stage.at_provider(&mut visitor, &asked, "iris");
    let page = visitor.open(with(&back, "code", "made-up").as_str());
    stage.refuses(&mut visitor, &page, "The provider's answer does not hold");
}

#[test]
fn person_is_never_sent_to_another_place() {
    let stage = stage(true);
    let places = [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
    ];
    for place in places {
        let mut visitor = stage.visitor();
        let encoded: String = url::form_urlencoded::byte_serialize(place.as_bytes()).collect();
        let asked = stage.depart(&mut visitor, &encoded);
        let back = stage.at_provider(&mut visitor, &asked, "iris");
        let page = visitor.ask("GET", &back, None);
        let next = page.location().unwrap();
        assert!(next.as_str().starts_with(&format!("{}/", stage.gate.origin)), "{place}: {next}");
    }
}

#[test]
fn provider_that_is_down_is_told_and_passwords_go_on() {
    let mut stage = stage(true);
    stage.provider = None;
    let person = Person::seated(&stage.gate, "local");
    let mut visitor = stage.visitor();
    let page = visitor.open(&format!("{}/sign-in/oidc", stage.gate.origin));
    stage.refuses(&mut visitor, &page, "The provider that signs you in does not answer.");
    let page = person.sign_in(&mut visitor, &format!("{}/sign-in", stage.gate.origin));
    assert!(page.text().contains("You are signed in as local"), "{}", page.text());
}
