//! A gate in the test's own process, started through its configuration file as the program starts it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use channelgate::app::App;
use channelgate::clock::{Clock, ManualClock, Timestamp};
use channelgate::config::Config;
use channelgate::keys::{self, ApiKeyWish, GateSecret, Keyring};
use channelgate::store::{Actor, NewToken, Purpose, Store};
use channelgate::token::{End, EndCause, Minted, Scopes, TokenId};

use super::client::{self, Reply};

/// The fixture channel's directory.
pub fn fixture_channel() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channel")
}

/// Describes a gate before it starts.
pub struct Builder {
    channels: String,
    settings: String,
    clock: Option<(Clock, ManualClock)>,
}

/// A running gate; it stops when it is dropped.
pub struct Gate {
    pub app: App,
    pub directory: tempfile::TempDir,
    pub hands: Option<ManualClock>,
}

/// A token that was issued for a test.
#[derive(Clone)]
pub struct Issued {
    pub id: TokenId,
    pub value: String,
}

impl Builder {
    /// A private channel from an upstream URL.
    pub fn channel(self, name: &str, upstream: &str) -> Self {
        self.channel_with(name, &format!("upstreams = [\"{upstream}\"]"))
    }

    /// A public channel from an upstream URL.
    pub fn public_channel(self, name: &str, upstream: &str) -> Self {
        self.channel_with(name, &format!("access = \"public\"\nupstreams = [\"{upstream}\"]"))
    }

    /// A channel with these configuration lines.
    pub fn channel_with(mut self, name: &str, lines: &str) -> Self {
        writeln!(self.channels, "[[channels]]\nname = \"{name}\"\n{lines}").unwrap();
        self
    }

    /// The fixture channel, private as `main` and `team/nested`, public as `open`.
    pub fn fixtures(self) -> Self {
        let url = format!("file://{}", fixture_channel().display());
        self.channel("main", &url).channel("team/nested", &url).public_channel("open", &url)
    }

    /// Further lines of configuration; tables are written in full.
    pub fn settings(mut self, lines: &str) -> Self {
        writeln!(self.settings, "{lines}").unwrap();
        self
    }

    /// The machine's clock, which is what there is unless somebody asked for another.
    pub fn real_clock(mut self) -> Self {
        self.clock = None;
        self
    }

    /// Time stands still until the test moves it.
    pub fn manual_clock(mut self) -> Self {
        self.clock = Some(Clock::manual("2027-01-01T00:00:00Z".parse().unwrap()));
        self
    }

    /// Starts it.
    pub async fn start(self) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        let text = format!(
            "data_dir = \"{at}/var\"\n\
             listen.address = \"127.0.0.1:0\"\n\
             admin.address = \"127.0.0.1:0\"\n\
             store.url = \"sqlite:{at}/var/channelgate.db\"\n\
             cache.directory = \"{at}/var/cache\"\n{}\n{}",
            self.settings, self.channels
        );
        let file = directory.path().join("channelgate.toml");
        std::fs::write(&file, text).unwrap();
        let config = load(&file);
        let (clock, hands) = match self.clock {
            Some((clock, hands)) => (clock, Some(hands)),
            None => (Clock::system(), None),
        };
        let app = App::start(&config, clock).await.unwrap_or_else(|error| panic!("{error:#}"));
        Gate { app, directory, hands }
    }
}

fn load(file: &Path) -> Config {
    // A test of the fast paths says itself which it means.
    let is_said = std::fs::read_to_string(file).is_ok_and(|text| text.contains("listen.fast_paths"));
    let environment = fast_paths().filter(|_| !is_said).collect();
    Config::load(file, &environment).unwrap_or_else(|error| panic!("{error}"))
}

/// `CHANNELGATE_LISTEN__FAST_PATHS`, the one setting that gates under test take from the environment of the tests: all that is promised holds
/// whichever way bodies take.
pub fn fast_paths() -> impl Iterator<Item = (String, String)> {
    let name = "CHANNELGATE_LISTEN__FAST_PATHS";
    std::env::var(name).into_iter().map(|value| (name.to_owned(), value))
}

impl Gate {
    pub fn builder() -> Builder {
        Builder { channels: String::new(), settings: String::new(), clock: None }
    }

    /// A gate in front of the fixture channel.
    pub async fn with_fixtures() -> Self {
        Self::builder().fixtures().start().await
    }

    /// Takes up its configuration with these lines before and after it.
    pub fn reload(&self, before: &str, after: &str) {
        let text = std::fs::read_to_string(self.directory.path().join("channelgate.toml")).unwrap();
        let file = self.directory.path().join("reloaded.toml");
        std::fs::write(&file, format!("{before}{text}{after}")).unwrap();
        let waiting = self.app.reload(&load(&file)).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(waiting, Vec::<&str>::new());
    }

    /// Stops it and starts another one on what it leaves behind.
    pub async fn restart(self) -> Self {
        let Self { app, directory, hands } = self;
        let clock = app.clock().clone();
        app.stop().await;
        let config = load(&directory.path().join("channelgate.toml"));
        let app = App::start(&config, clock).await.unwrap_or_else(|error| panic!("{error:#}"));
        Self { app, directory, hands }
    }

    pub fn data(&self) -> SocketAddr {
        self.app.data_address()
    }

    pub fn admin(&self) -> SocketAddr {
        self.app.admin_address()
    }

    pub fn store(&self) -> &Store {
        self.app.store()
    }

    /// Asks the data plane.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        client::ask(self.data(), method, target, headers).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[]).await
    }

    pub async fn head(&self, target: &str) -> Reply {
        self.ask("HEAD", target, &[]).await
    }

    /// Issues a scoped token of the organization `default`.
    pub async fn scoped(
        &self,
        name: &str,
        scopes: &str,
        channels: Option<&[&str]>,
        expires_at: Option<&str>,
    ) -> Issued {
        let minted = Minted::random().unwrap();
        let token = NewToken {
            organization: "default".into(),
            purpose: Purpose::Scoped { name: name.into(), acts_as: None },
            scopes: scopes.parse().unwrap(),
            channels: channels.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            expires_at: expires_at.map(|at| at.parse().unwrap()),
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        let issued = self
            .store()
            .insert_token(&token, &minted.digest(), &Actor::gate(), self.now(), Duration::ZERO)
            .await
            .unwrap();
        Issued { id: issued.record.id, value: minted.expose().to_owned() }
    }

    /// Issues an API key of a user, signed as this gate signs.
    pub async fn api_key(&self, organization: &str, user: &str, scopes: Scopes) -> Issued {
        let secret = GateSecret::load_or_make(&self.directory.path().join("var/sign-in-secret")).unwrap();
        let keyring = Keyring::new(self.store().clone(), secret, keys::Config::default());
        let wish = ApiKeyWish { user: user.into(), organization: organization.into(), scopes };
        let (issued, minted) = keyring.issue(&wish, &Actor::user(user, None), self.now()).await.unwrap();
        Issued { id: issued.record.id, value: minted.expose().to_owned() }
    }

    /// Ends a token, as of now.
    pub async fn end(&self, token: &Issued, cause: EndCause) {
        let end = End { cause, at: self.now(), reason: None };
        self.store().end_token(token.id, &end, &Actor::gate(), self.now()).await.unwrap();
        self.app.verifier().catch_up().await.unwrap();
    }

    fn now(&self) -> Timestamp {
        self.app.clock().now()
    }

    /// The site token of the organization `default`, as the first start wrote it.
    pub fn bootstrap_token(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("var/bootstrap-token")).unwrap();
        text.trim_end_matches('\n').to_owned()
    }
}
