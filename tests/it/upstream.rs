//! Upstreams against servers and directories that misbehave: each fault ends as the contract says.

mod bodies;
mod configuration;
mod connections;
mod directory;
mod heads;
mod redirects;

use channelgate::conda::{Location, UpstreamPath};
use channelgate::upstream::{
    Ask, BodyError, FetchError, Fetched, Meters, Method, Outcome, UpstreamConfig, Upstreams,
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use prometheus::Registry;

use crate::support::faulty::{Faulty, Reply};

/// What most tests ask for.
const FILE: &str = "linux-64/x-1.0-0.conda";

/// The upstreams under test, with counters of their own.
struct Subject {
    upstreams: Upstreams,
    meters: Meters,
}

impl Subject {
    fn new(configs: &[UpstreamConfig]) -> Self {
        let meters = Meters::register(&Registry::new()).unwrap();
        Self { upstreams: Upstreams::new(configs, meters.clone()).unwrap(), meters }
    }

    /// The channel `/chan` of a server, with default settings.
    fn of(server: &Faulty) -> Self {
        Self::new(&[config(&server.url("/chan"))])
    }

    async fn get(&self, path: &str) -> Result<Box<Fetched>, FetchError> {
        self.ask(Method::Get, path, &[]).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Box<Fetched>, FetchError> {
        let path = upstream_path(path);
        let headers = header_map(headers);
        self.upstreams.fetch(&Ask { method, path: &path, at: None, conditions: Some(&headers) }).await
    }

    /// Asks for [`FILE`] and reads it all.
    async fn download(&self) -> Result<Vec<u8>, BodyError> {
        read(self.get(FILE).await.ok().unwrap()).await
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.meters.requests(outcome).unwrap().get()
    }

    /// Nothing but these was counted.
    #[track_caller]
    fn assert_counted(&self, expected: &[Outcome]) {
        for outcome in Outcome::ALL {
            let times = expected.iter().filter(|expected| **expected == outcome).count();
            assert_eq!(self.count(outcome), times as u64, "{outcome:?}");
        }
    }
}

fn config(url: &str) -> UpstreamConfig {
    UpstreamConfig { url: url.to_owned(), ..UpstreamConfig::default() }
}

fn upstream_path(path: &str) -> UpstreamPath {
    UpstreamPath::of(&Location::parse(path)).unwrap()
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap())
        })
        .collect()
}

async fn read(fetched: Box<Fetched>) -> Result<Vec<u8>, BodyError> {
    Ok(fetched.body.collect().await?.to_bytes().to_vec())
}

/// A server that gives every request the same reply.
async fn always(reply: Reply) -> Faulty {
    Faulty::start(move |_| reply.clone()).await
}
