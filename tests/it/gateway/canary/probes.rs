//! What is sent: the canaries, and every place of a request that can hold one. Read `canary` for where they must not come out.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use channelgate::account::Role;
use channelgate::clock::Timestamp;
use channelgate::store::{Actor, ActsAs, NewToken, Purpose, Store};
use channelgate::token::{ApiKeyClaims, End, EndCause, Minted, SigningKey, TokenDigest, TokenId};

/// A value to look for.
#[derive(Clone)]
pub(super) struct Canary {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// What is looked for: so much of the value that it can be nothing else.
    pub(super) core: String,
    /// True for what could be a token: it must be masked wherever it stands. What could be none is masked where a token belongs.
    is_token: bool,
}

impl Canary {
    pub(super) fn new(name: &'static str, value: &str) -> Self {
        Self { name, value: value.to_owned(), core: value[6..24].to_owned(), is_token: true }
    }

    /// An API key: what tells it from others is its signature.
    fn signed(name: &'static str, value: &str) -> Self {
        let (_, signature) = value.rsplit_once('.').unwrap();
        Self { core: signature[4..34].to_owned(), ..Self::new(name, value) }
    }

    fn malformed(name: &'static str, value: String) -> Self {
        Self { is_token: false, ..Self::new(name, &value) }
    }
}

/// An imported token has no prefix and no checksum.
pub(super) const IMPORTED: &str = "Imported0Canary1Of2Some3Other4Server5-6789";

/// The canaries of a gate with this site token; those that it is to know are put into its store.
pub(super) async fn canaries(site_token: &str, store: &Store) -> Vec<Canary> {
    let revoked = Minted::random().unwrap();
    let unknown = Minted::random().unwrap();
    let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    for (name, value) in [("imported", IMPORTED), ("revoked", revoked.expose())] {
        let token = NewToken {
            organization: "default".into(),
            purpose: Purpose::Scoped { name: name.into(), acts_as: None },
            scopes: "repos".parse().unwrap(),
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        let digest = TokenDigest::of(value.as_bytes());
        let issued = store.insert_token(&token, &digest, &Actor::gate(), now, Duration::ZERO).await.unwrap();
        if name == "revoked" {
            let end = End { cause: EndCause::Revoked, at: now, reason: None };
            store.end_token(issued.record.id, &end, &Actor::gate(), now).await.unwrap();
        }
    }
    let api_key = signed("default", now);
    let digest = TokenDigest::of(api_key.as_bytes());
    store.assign_seat("default", "ann", Role::Member, &Actor::gate(), now).await.unwrap();
    let token = NewToken {
        purpose: Purpose::Scoped { name: "api key".into(), acts_as: Some(ActsAs::User("ann".into())) },
        api_key: Some(TokenId(uuid::Uuid::new_v4())),
        ..NewToken::site("default")
    };
    store.insert_token(&token, &digest, &Actor::gate(), now, Duration::ZERO).await.unwrap();
    let fresh = || Minted::random().unwrap().expose().to_owned();
    let wrong_checksum = {
        let mut value = fresh();
        let last = value.pop().unwrap();
        value.push(if last == '0' { '1' } else { '0' });
        value
    };
    vec![
        Canary::new("issued", site_token),
        Canary::new("imported", IMPORTED),
        Canary::new("revoked", revoked.expose()),
        Canary::new("unknown", unknown.expose()),
        Canary::signed("API key", &api_key),
        Canary::signed("unknown API key", &signed("nowhere", now)),
        Canary::new("wrong checksum", &wrong_checksum),
        Canary::new("lower case", &fresh().to_lowercase()),
        Canary::new("twice as long", &format!("{}{}", fresh(), fresh())),
        Canary::malformed("cut short", fresh()[..30].to_owned()),
        Canary::malformed("with a dot", format!("{}.x", fresh())),
        Canary::malformed("with an underscore", format!("{}_x", fresh())),
        Canary::malformed("longer than any", fresh().repeat(10)),
    ]
}

/// The value of an API key.
fn signed(organization: &str, now: Timestamp) -> String {
    let claims = ApiKeyClaims {
        id: TokenId(uuid::Uuid::new_v4()),
        user: "ann".into(),
        organization: organization.into(),
        issued_at: now,
        expires_at: now.plus(Duration::from_secs(90 * 24 * 3_600)),
    };
    let key = SigningKey::new("canary".into(), &[7; 32]).unwrap();
    key.sign("channelgate", &claims).unwrap().expose().to_owned()
}

/// One request, as it goes over the wire.
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

/// Everything that a canary is sent as.
pub(super) fn probes(canary: &Canary) -> Vec<Probe> {
    let value = &canary.value;
    let escaped = value.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02x}");
        escaped
    });
    let mut probes = Vec::new();
    let mut add = |method: &str, target: String, headers: &[(&str, String)]| {
        let shown = target.replace(value.as_str(), "{}").replace(&escaped, "{escaped}");
        let named: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        probes.push(Probe {
            name: format!("{}: {method} {shown} {named:?}", canary.name),
            method: method.to_owned(),
            target,
            headers: headers.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect(),
        });
    };
    let long = "a".repeat(5_000);
    // The token position, with every end that a request can come to.
    for target in [
        format!("/t/{value}/main/noarch/repodata.json"),
        format!("/T/{value}/main/noarch/repodata.json"),
        format!("/t/{value}/filtered/noarch/repodata.json"),
        format!("/t/{value}/filtered/noarch/repodata.json.zst"),
        format!("/t/{value}/filtered/noarch/repodata_shards.msgpack.zst"),
        format!("/t/{value}/filtered/noarch/secret-1-0.conda"),
        format!("/t/{value}/filtered/noarch/x-1-0.conda"),
        format!("/t/{value}/filtered/channeldata.json"),
        format!("/%74/{value}/main/noarch/x.conda"),
        format!("/t/{escaped}/main/noarch/x.conda"),
        format!("/main/t/{value}/noarch/x.conda"),
        format!("/main/noarch/t/{value}/x.conda"),
        format!("/team/t/{value}/nested/noarch/x.conda"),
        format!("/t/{value}/open/noarch/x.conda"),
        format!("/t/{value}/open/label/dev/noarch/x.conda"),
        format!("/t/{value}/theirs/noarch/x.conda"),
        format!("/t/{value}/none/noarch/x.conda"),
        format!("/t/{value}/main/notices.json"),
        format!("/t/{value}/main/missing/x"),
        format!("/t/{value}"),
        format!("/t/{value}/"),
        format!("/t/{value}//main/noarch/x.conda"),
        format!("/t/{value}/t/{value}/main/noarch/x.conda"),
        format!("/t/other/t/{value}/main/noarch/x.conda"),
        format!("/t/<{value}>/main/noarch/x.conda"),
        format!("/t/{value}/main/../x.conda"),
        format!("/t/{value}%2Fmain/noarch/x.conda"),
        format!("/t/{value}%00/main/noarch/x.conda"),
        format!("/t/{value}%0a/main/noarch/x.conda"),
        format!("/t/{value}%zz/main/noarch/x.conda"),
        format!("/t/{value}%ff/main/noarch/x.conda"),
        format!("/t/%2e{value}/main/noarch/x.conda"),
        format!("/t/{value}\\/main/noarch/x.conda"),
        format!("/t/{value}\u{e4}/main/noarch/x.conda"),
        format!("/t/{value}/main/noarch/{long}"),
        format!("/t/{value}/down/noarch/x.conda"),
        format!("/t/{value}/denied/noarch/x.conda"),
        format!("/t/{value}/stalls/noarch/x.conda"),
        format!("/t/{value}/short/noarch/x.conda"),
        format!("/t/{value}/loops/noarch/x.conda"),
        format!("/t/{value}/leads-away/noarch/repodata.json"),
        format!("/t/{value}/garbage/noarch/repodata.json"),
        format!("/t/{value}/refuses/noarch/x.conda"),
        // What is no path.
        format!("/main/noarch/x.conda?token={value}"),
        format!("/t/{value}/main/noarch/x.conda?t={value}&{value}"),
        format!("/open/noarch/x.conda#{value}"),
        format!("/?{value}"),
        format!("http://{value}/open/noarch/x.conda"),
        format!("http://user:{value}@gate.test/open/noarch/x.conda"),
        format!("http://{value}@gate.test/open/noarch/x.conda"),
    ] {
        add("GET", target.clone(), &[]);
        add("HEAD", target.clone(), &[]);
        add("POST", target, &[]);
    }
    add(value, "/open/noarch/x.conda".into(), &[]);
    let index = || "/main/noarch/repodata.json".to_owned();
    let basic = |text: String| format!("Basic {}", BASE64_STANDARD.encode(text));
    for text in [
        format!("token {value}"),
        format!("Bearer {value}"),
        format!("bearer  {value} "),
        format!("Bearer {value} {value}"),
        format!("Digest {value}"),
        format!("{value} {value}"),
        value.clone(),
        basic(format!("user:{value}")),
        basic(format!("{value}:")),
        basic(format!("{value}:x-oauth-basic")),
        basic(format!("{value}:{value}")),
        basic(value.clone()),
        format!("Basic {value}"),
        format!("Basic !{}", BASE64_STANDARD.encode(value)),
    ] {
        for target in [index(), "/open/noarch/x.conda".into(), "/down/noarch/x.conda".into(), "/..".into()] {
            add("GET", target, &[("Authorization", text.clone())]);
        }
    }
    // Credentials where they belong, twice, and where they do not.
    for name in ["X-API-Key", "X-Auth"] {
        add("GET", index(), &[(name, value.clone())]);
        add("GET", index(), &[(name, value.clone()), (name, value.clone())]);
        add("HEAD", format!("/t/{value}/main/noarch/x.conda"), &[(name, value.clone())]);
    }
    for name in [
        "Cookie",
        "Referer",
        "User-Agent",
        "From",
        "Origin",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Request-Id",
        "X-Expected-Sha256",
        "Proxy-Authorization",
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Cache-Control",
        "Content-Type",
        "Date",
        "If-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "Range",
        "TE",
        "Upgrade",
        "Trailer",
        "Max-Forwards",
        "Traceparent",
        "X-Anything",
        "Host",
        "Expect",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        add("GET", "/open/noarch/x.conda".into(), &[(name, value.clone())]);
        add(
            "GET",
            format!("/t/{value}/main/noarch/x.conda"),
            &[(name, format!("https://x/t/{value}/main; a=\"{value}\""))],
        );
    }
    add("GET", "/open/noarch/x.conda".into(), &[(value, "1".to_owned())]);
    // These go upstream for what they say they are. Only their sender can know better.
    for name in ["If-None-Match", "If-Range"] {
        let headers = [(name, format!("\"{value}\"")), ("Range", "bytes=0-0".to_owned())];
        add("GET", "/strays/noarch/x.conda".into(), &headers);
    }
    // What the anaconda tools ask for.
    for (method, target) in [
        ("GET", "/api/organizations/my"),
        ("GET", "/api/organizations/default/ce/current-token"),
        ("PUT", "/api/organizations/default/ce/current-token"),
        ("GET", "/api/account"),
        ("POST", "/api/auth/api-keys"),
        ("GET", "/api/auth/oauth2/userinfo"),
        ("GET", "/authentication"),
        ("GET", "/authentications"),
        ("POST", "/authentications"),
        ("DELETE", "/authentications"),
        ("GET", "/user"),
        ("GET", "/package/main/x"),
        ("GET", "/download/main/x/1/noarch/x-1-0.conda"),
        ("GET", "/download/filtered/secret/1/noarch/secret-1-0.conda"),
        ("GET", "/api/none"),
    ] {
        for text in [
            format!("token {value}"),
            format!("Bearer {value}"),
            basic(format!("user:{value}")),
            basic(format!("{value}:")),
            value.clone(),
        ] {
            add(method, target.to_owned(), &[("Authorization", text)]);
        }
        add(method, target.to_owned(), &[("X-API-Key", value.clone()), ("X-Auth", value.clone())]);
        add(method, format!("{target}?token={value}"), &[]);
    }
    for target in [
        format!("/package/t/{value}/main/x"),
        format!("/download/t/{value}/main/x/1/noarch/x-1-0.conda"),
        format!("/download/main/t/{value}/x/1/noarch/x-1-0.conda"),
    ] {
        add("GET", target, &[]);
    }
    if canary.is_token {
        // Places where no token belongs, but where people paste one.
        for target in [
            format!("/{value}"),
            format!("/{value}/noarch/repodata.json"),
            format!("/{value}/main/noarch/repodata.json"),
            format!("/main/{value}/noarch/repodata.json"),
            format!("/main/noarch/{value}.conda"),
            format!("/strays/{value}"),
            format!("/strays/{value}.json"),
            format!("/strays/{value}/noarch/repodata.json"),
            format!("/strays/label/{value}/noarch/x.conda"),
            format!("/strays/label/{value}/noarch/repodata.json"),
            format!("/strays/label/x-{value}/noarch/repodata.json"),
            format!("/strays/noarch/{value}"),
            format!("/strays/noarch/{value}.conda"),
            format!("/strays/noarch/x-{value}-0.conda"),
            format!("/strays/noarch/{value}/x.conda"),
            format!("/strays/noarch/shards/{value}"),
            format!("/strays/noarch/shards/{value}.msgpack.zst"),
            format!("/strays/icons/{value}.png"),
            format!("/strays/{escaped}.json"),
            format!("/t/*****/{value}/noarch/x.conda"),
            format!("/t/wrong/{value}/noarch/x.conda"),
            format!("/api/{value}"),
            format!("/api/organizations/{value}/ce/current-token"),
            format!("/user/{value}"),
            format!("/device?user_code={value}"),
            format!("/sign-in?next=/{value}"),
            format!("/.well-known/{value}"),
            format!("/package/{value}/x"),
            format!("/package/main/{value}"),
            format!("/download/{value}/x/1/noarch/x-1-0.conda"),
            format!("/download/main/{value}/1/noarch/{value}-1-0.conda"),
            format!("/download/main/x/{value}/noarch/x-{value}-0.conda"),
        ] {
            add("GET", target.clone(), &[]);
            add("HEAD", target, &[]);
        }
        for target in [
            format!("/authentications/name/{value}"),
            format!("/authentications/name/x {value}/y").replace(' ', "%20"),
            format!("/authentications/org/{value}/name/x"),
            format!("/authentications/org/default/name/{value}"),
        ] {
            add("DELETE", target.clone(), &[]);
            add("DELETE", target, &[("Authorization", format!("Bearer {value}"))]);
        }
    }
    probes
}
