//! The account of one request: a line in the access log and a count, when it is answered or its client has gone.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::StatusCode;
use prometheus::{IntCounterVec, Opts, Registry};

use super::asking::Arrival;
use crate::auth::Carrier;
use crate::clock::Timestamp;
use crate::face::RequestId;
use crate::ledger::Ledger;
use crate::policy::Standing;

/// The metrics of the Anaconda-compatible face.
#[derive(Clone, Debug)]
pub struct Meters {
    requests: IntCounterVec,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "channelgate_anaconda_requests_total",
                "Requests of the anaconda tools and of browsers, by the code of their refusal, or ok.",
            ),
            &["code"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { requests })
    }
}

/// What is told of a request. Dropping it tells it. It holds nothing that the client wrote.
pub(super) struct Receipt {
    meters: Meters,
    ledger: Ledger,
    began: Instant,
    arrival: Arrival,
    request_id: RequestId,
    method: &'static str,
    /// The route, as it is declared.
    route: Option<Arc<str>>,
    status: Option<StatusCode>,
    code: &'static str,
    bytes: u64,
    /// Somebody else accounts for it.
    handed_over: bool,
}

impl Receipt {
    pub(super) fn open(
        meters: &Meters,
        ledger: &Ledger,
        arrival: &Arrival,
        request_id: RequestId,
        method: &'static str,
    ) -> Self {
        Self {
            meters: meters.clone(),
            ledger: ledger.clone(),
            began: Instant::now(),
            arrival: arrival.clone(),
            request_id,
            method,
            route: None,
            status: None,
            code: "client_gone",
            bytes: 0,
            handed_over: false,
        }
    }

    /// When the request came.
    pub(super) fn at(&self) -> Timestamp {
        self.arrival.at
    }

    pub(super) fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// There is an answer: `code` is that of the refusal, or `ok`.
    pub(super) fn answered(
        &mut self,
        route: Option<Arc<str>>,
        status: StatusCode,
        code: &'static str,
        bytes: u64,
    ) {
        let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if let Some((_, standing)) = self.asker().filter(|_| is_refused) {
            self.ledger.refused(standing.token.id, self.arrival.at, code);
        }
        (self.route, self.status, self.code, self.bytes) = (route, Some(status), code, bytes);
    }

    /// The data plane tells of it.
    pub(super) fn handed_over(&mut self) {
        self.handed_over = true;
    }

    fn asker(&self) -> Option<&(Option<Carrier>, Arc<Standing>)> {
        OnceLock::get(&self.arrival.asker)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.handed_over {
            return;
        }
        self.meters.requests.with_label_values(&[self.code]).inc();
        let asker = self.asker();
        let token = asker.map(|(_, standing)| &standing.token);
        tracing::info!(
            target: "access",
            plane = "anaconda",
            method = self.method,
            route = self.route.as_deref().unwrap_or("-"),
            status = self.status.map(|status| status.as_u16()),
            code = self.code,
            token = token.map(|token| tracing::field::display(token.id)),
            org = token.map(|token| tracing::field::display(&token.organization)),
            carrier = asker.and_then(|(carrier, _)| *carrier).map(Carrier::as_str),
            bytes = self.bytes,
            total_ms = (self.began.elapsed().as_secs_f64() * 1_000_000.0).round() / 1_000.0,
            client = %self.arrival.client,
            request_id = %self.request_id,
        );
    }
}
