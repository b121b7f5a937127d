//! The composition root: builds the parts from the configuration, wires them, and takes them down in order.
//!
//! | step | on failure |
//! | --- | --- |
//! | certificates, upstreams (`app/parts.rs`) | all mistakes, exit 64 |
//! | the data directory, the store | one sentence that names the file, exit 1 |
//! | the cache | one sentence that names the directory, exit 1 |
//! | both listeners | one sentence that names the address, exit 1 |
//! | the first start (`app/bootstrap.rs`) | one sentence that names the file, exit 1; the next start is the first |
//! | the feed follower, the ledger's keeper, the cache's keeper, the audit's head in the log (`app/head.rs`), the heartbeat (`app/heartbeat.rs`), both planes | – |
//!
//! Two apps in one process work: nothing here is global. Read `app/run.rs` next, for signals.

mod bootstrap;
mod head;
mod heartbeat;
mod parts;
mod planes;
mod run;
mod shelf;
mod sign_in;
mod story;

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;

pub use self::heartbeat::host_name;
pub use self::parts::{ComposeError, cache, store as store_config, verify as verify_config};
pub use self::run::serve;
pub use self::shelf::{Shelf, Shelved};
pub use self::story::story;

use self::heartbeat::Heartbeat;
use self::parts::Parts;
use self::planes::{AdminPlane, DataPlane};
use crate::admin::{self, Admin};
use crate::anaconda::{self, Anaconda, people};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::{Gateway, Streams};
use crate::index::Indexes;
use crate::ledger::{self, Ledger};
use crate::metrics::Metrics;
use crate::server::{self, Bound, Shutdown, Tls};
use crate::store::{GateState, Store};
use crate::verify::Verifier;
use crate::{upstream, verify};

/// A running gate. Dropping it without [`App::stop`] ends it at once.
pub struct App {
    data_address: SocketAddr,
    admin_address: SocketAddr,
    scheme: &'static str,
    clock: Clock,
    store: Store,
    verifier: Verifier,
    ledger: Ledger,
    heartbeat: Heartbeat,
    gateway: Arc<Gateway>,
    admin: Arc<Admin>,
    anaconda: Arc<Anaconda>,
    upstream_meters: upstream::Meters,
    indexes: Indexes,
    tls: Option<Arc<Tls>>,
    started_with: Config,
    shutdown: Shutdown,
    data_plane: JoinHandle<server::Drained>,
    /// Begins when the data plane has drained: until then the admin plane says that the gate is not ready.
    ending: Shutdown,
    admin_plane: JoinHandle<server::Drained>,
    /// What runs beside the planes until the data plane has drained.
    companions: Vec<JoinHandle<()>>,
    first_start: Option<PathBuf>,
}

impl App {
    /// Starts a gate: when this returns, both planes accept.
    ///
    /// # Errors
    ///
    /// A [`ComposeError`] for what the configuration promises and the machine does not keep; else what failed.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let metrics = Metrics::new()?;
        let upstream_meters = upstream::Meters::register(metrics.registry())?;
        let Parts { tls, routes, provider } = parts::compose(config, &clock, &upstream_meters)?;
        let tls = tls.map(Arc::new);

        DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).with_context(|| {
            format!(
                "the data directory {} cannot be made; name another one in data_dir",
                config.data_dir.display()
            )
        })?;
        let store = Store::open(&parts::store(config)).await?;
        let verify_meters = verify::Meters::register(metrics.registry())?;
        let verifier = Verifier::new(store.clone(), clock.clone(), parts::verify(config), verify_meters);

        let cache = parts::cache(config, &clock, &metrics).await?;
        let indexes = parts::indexes(config, cache, Some(&store), &clock, &metrics);
        let routing = parts::routing(config, routes, &indexes, config.cache.enabled);
        let surroundings = parts::surroundings(&routing);

        let limits = parts::server(config);
        let data = Bound::bind(config.listen.address, &limits)?;
        let admin = Bound::bind(config.admin.address, &limits)?;
        let (data_address, admin_address) = (data.local_addr(), admin.local_addr());
        let tools = parts::tools(config, &routing, data_address);
        // After everything that usually fails: the words of the first start are said once, and only by a gate that starts.
        let first_start = Box::pin(bootstrap::run(&store, &config.data_dir, clock.now())).await?;

        let secret = sign_in::secret(config);
        let keyring = parts::keyring(config, secret.clone(), &store, &clock).await;
        if let Some(keyring) = &keyring {
            verifier.screen_api_keys_by(keyring.verifying());
        }
        // Whom no key could be given does not get as far as asking for one.
        let secret = secret.filter(|_| keyring.is_some());

        let ledger_meters = ledger::Meters::register(metrics.registry())?;
        let ledger = Ledger::new(store.clone(), ledger::Config::default(), ledger_meters);
        let streams = config.verify.cut_streams.then(|| Streams::register(metrics.registry())).transpose()?;
        let gateway = Arc::new(Gateway::new(
            routing,
            verifier.clone(),
            ledger.clone(),
            clock.clone(),
            metrics.clone(),
            streams,
        ));
        let (shutdown, ending) = (Shutdown::new(), Shutdown::new());
        let admin_meters = admin::Meters::register(metrics.registry())?;
        let admin_parts = admin::Parts::new(
            store.clone(),
            verifier.clone(),
            ledger.clone(),
            clock.clone(),
            admin_meters,
            surroundings,
            shutdown.clone(),
        );
        let admin_pages = Arc::new(Admin::new(admin_parts, metrics.clone()));
        let people_meters = people::Meters::register(metrics.registry())?;
        let people = sign_in::people(config, secret, provider, &store, people_meters)?;
        let anaconda_parts = anaconda::Parts::new(
            store.clone(),
            verifier.clone(),
            ledger.clone(),
            clock.clone(),
            anaconda::Meters::register(metrics.registry())?,
            tools,
            planes::for_tools(&gateway),
        );
        let anaconda = Arc::new(Anaconda::new(anaconda_parts.with_people(people, keyring)));
        let name = config.gate.name.clone().unwrap_or_else(host_name);
        let heartbeat =
            Heartbeat::new(name, store.clone(), verifier.clone(), clock.clone(), shutdown.clone());
        let begun = || {
            let ending = ending.clone();
            async move { ending.begun().await }
        };
        let mut companions = vec![
            tokio::spawn(verifier.clone().follow(begun())),
            tokio::spawn(ledger.clone().keep(begun())),
            tokio::spawn(heartbeat.clone().keep(begun())),
            tokio::spawn(head::tell(store.clone(), begun())),
            tokio::spawn({
                let (gateway, begun) = (Arc::clone(&gateway), begun());
                async move { gateway.guard_streams(begun).await }
            }),
        ];
        companions.push(tokio::spawn(indexes.cache().disk().clone().keep(begun())));
        let meters = |plane| server::Meters::register(metrics.registry(), plane);
        let data_plane = tokio::spawn(server::serve(
            data,
            tls.clone(),
            limits.clone(),
            Arc::new(DataPlane { gateway: Arc::clone(&gateway), anaconda: Arc::clone(&anaconda) }),
            meters("data")?,
            shutdown.clone(),
        ));
        let limits =
            server::Config { drain_timeout: limits.drain_timeout.min(ADMIN_DRAIN_TIMEOUT), ..limits };
        let answers = Arc::new(AdminPlane(Arc::clone(&admin_pages)));
        let admin_plane =
            tokio::spawn(server::serve(admin, None, limits, answers, meters("admin")?, ending.clone()));
        Ok(Self {
            data_address,
            admin_address,
            scheme: config.listen.scheme(),
            clock,
            store,
            verifier,
            ledger,
            heartbeat,
            gateway,
            admin: admin_pages,
            anaconda,
            upstream_meters,
            indexes,
            tls,
            started_with: config.clone(),
            shutdown,
            data_plane,
            ending,
            admin_plane,
            companions,
            first_start,
        })
    }

    /// Where the data plane listens.
    pub fn data_address(&self) -> SocketAddr {
        self.data_address
    }

    /// Where the admin plane listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The line that says that both planes accept.
    pub fn ready_line(&self) -> String {
        let Self { scheme, data_address, admin_address, .. } = self;
        format!("channelgate ready data={scheme}://{data_address} admin=http://{admin_address}")
    }

    /// The file with the first token, if this start was the first.
    pub fn first_start(&self) -> Option<&PathBuf> {
        self.first_start.as_ref()
    }

    /// The token store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What remembers tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The package cache, if there is one.
    pub fn cache(&self) -> Option<&Cache> {
        self.started_with.cache.enabled.then(|| self.indexes.cache())
    }

    /// Takes up a new configuration: channels, upstreams, how long what is cached is right, trusted proxies, and the certificate files anew. Returns the keys that differ
    /// from those the gate was started with but wait for its next start.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the old one stays, whole.
    pub fn reload(&self, config: &Config) -> anyhow::Result<Vec<&'static str>> {
        let Parts { tls: _, routes, provider: _ } =
            parts::compose(config, &self.clock, &self.upstream_meters)?;
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        let routing = parts::routing(config, routes, &self.indexes, self.started_with.cache.enabled);
        self.admin.reconfigure(parts::surroundings(&routing));
        self.anaconda.reconfigure(parts::tools(config, &routing, self.data_address));
        self.gateway.reconfigure(routing);
        Ok(parts::needing_restart(&self.started_with, config))
    }

    /// Stops accepting on the data plane, lets running responses finish for as long as the configuration says, then stops the admin plane
    /// and closes the store. Returns how many connections were cut.
    pub async fn stop(mut self) -> usize {
        self.shutdown.begin();
        let mut cut = (&mut self.data_plane).await.map_or(0, |summary| summary.cut);
        self.ending.begin();
        cut += (&mut self.admin_plane).await.map_or(0, |summary| summary.cut);
        for companion in self.companions.drain(..) {
            let _ = tokio::time::timeout(STORE_PATIENCE, companion).await;
        }
        // Of the requests that ended since, too.
        let _ = tokio::time::timeout(STORE_PATIENCE, self.ledger.flush()).await;
        let _ = tokio::time::timeout(STORE_PATIENCE, self.heartbeat.beat(GateState::Stopped)).await;
        let _ = tokio::time::timeout(STORE_PATIENCE, self.store.close()).await;
        cut
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.shutdown.begin();
        self.ending.begin();
        self.data_plane.abort();
        self.admin_plane.abort();
        for companion in &self.companions {
            companion.abort();
        }
    }
}

/// Finds what would keep a gate with this configuration from being put together. Opens neither store nor listeners.
///
/// # Errors
///
/// A [`ComposeError`] with everything that is wrong.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let meters = upstream::Meters::register(Metrics::new()?.registry())?;
    parts::compose(config, &Clock::system(), &meters)?;
    Ok(())
}

/// How long the admin plane's last responses may take; they are short.
const ADMIN_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end waits for the store.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
