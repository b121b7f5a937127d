//! The account of one request: an access-log line and the counters, when its body has ended, exactly once.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::StatusCode;

use super::streams::Tenure;
use crate::auth::Carrier;
use crate::clock::{Clock, Timestamp};
use crate::conda::ChannelName;
use crate::face::RequestId;
use crate::ledger::Ledger;
use crate::logging::Access;
use crate::metrics::{BodyBytes, Metrics, Outcome, Source};
use crate::policy::{Caller, Standing};

/// What is told of a request. Dropping it tells it.
///
/// It holds only what was parsed: never a header's bytes, never a raw path, never a credential.
pub(super) struct Receipt {
    books: Arc<Books>,
    at: Timestamp,
    begun_at: Duration,
    request_id: RequestId,
    client: IpAddr,
    method: &'static str,
    path: String,
    channel: Option<ChannelName>,
    carrier: Option<Carrier>,
    token: Option<Arc<Standing>>,
    /// `None` until there is an answer.
    status: Option<StatusCode>,
    code: &'static str,
    cache: &'static str,
    /// When the response was ready to be sent, in [`Clock::uptime`].
    ready_at: Option<Duration>,
    bytes: BodyBytes,
    ended: bool,
    broken: bool,
    /// The body's place among those that are cut.
    tenure: Option<Tenure>,
}

/// Where requests are accounted for, besides the log.
pub(super) struct Books {
    pub(super) metrics: Metrics,
    pub(super) ledger: Ledger,
    /// By which it is told how long they took.
    pub(super) clock: Clock,
}

/// What a request is known by before anything is decided.
pub(super) struct Asking {
    /// When it asks.
    pub(super) at: Timestamp,
    /// The same in [`Clock::uptime`].
    pub(super) begun_at: Duration,
    /// The request's id.
    pub(super) request_id: RequestId,
    /// The client's address.
    pub(super) client: IpAddr,
    /// The method, if it is one that is served.
    pub(super) method: &'static str,
    /// The redacted path.
    pub(super) path: String,
}

impl Receipt {
    /// Opens the account of a request.
    pub(super) fn open(books: &Arc<Books>, asking: Asking) -> Self {
        Self {
            books: Arc::clone(books),
            at: asking.at,
            begun_at: asking.begun_at,
            request_id: asking.request_id,
            client: asking.client,
            method: asking.method,
            path: asking.path,
            channel: None,
            carrier: None,
            token: None,
            // What is told if the client leaves before there is an answer.
            status: None,
            code: "client_gone",
            cache: "-",
            ready_at: None,
            bytes: BodyBytes::default(),
            ended: false,
            broken: false,
            tenure: None,
        }
    }

    /// The id that the response carries.
    pub(super) fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The client's address.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Who asks, as far as it is known.
    pub(super) fn caller(&mut self, carrier: Option<Carrier>, caller: Caller) {
        self.carrier = carrier;
        if let Caller::Known(token) = caller {
            self.token = Some(token);
        }
    }

    /// The channel that is read; so the request was permitted.
    pub(super) fn channel(&mut self, name: ChannelName) {
        self.channel = Some(name);
        if let (Some(standing), Some(carrier)) = (&self.token, self.carrier) {
            self.books.ledger.used(standing.token.id, self.at, carrier, self.client);
        }
    }

    /// The body that is to come ends with the right to it.
    pub(super) fn hold(&mut self, tenure: Tenure) {
        self.tenure = Some(tenure);
    }

    /// Whether the body is cut; if not, the task is woken when it is.
    pub(super) fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        let cut = self.tenure.as_mut().is_some_and(|tenure| tenure.has_ended(context));
        if cut {
            self.tenure = None;
            self.code = STREAM_CUT;
            self.broke();
        }
        cut
    }

    /// There is something to answer with since `uptime`.
    pub(super) fn ready(&mut self, uptime: Duration) {
        self.ready_at = Some(uptime);
    }

    /// The response's head is on its way. `code` is that of the problem body, or `ok`.
    pub(super) fn answered(&mut self, status: StatusCode, code: &'static str, cache: &'static str) {
        let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if let Some(standing) = self.token.as_ref().filter(|_| is_refused) {
            self.books.ledger.refused(standing.token.id, self.at, code);
        }
        self.status = Some(status);
        self.code = code;
        self.cache = cache;
        self.ready_at.get_or_insert_with(|| self.books.clock.uptime());
    }

    /// Bytes of the body went out, which had come from `source`.
    pub(super) fn sent(&mut self, bytes: usize, source: Source) {
        self.bytes.add(source, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The body went out to its end.
    pub(super) fn finished(&mut self) {
        self.ended = true;
        self.tenure = None;
    }

    /// The body broke off; whatever happens after that, it did not reach its end.
    pub(super) fn broke(&mut self) {
        self.broken = true;
    }

    fn outcome(&self) -> Outcome {
        let Some(status) = self.status.filter(|_| self.ended && !self.broken) else {
            return Outcome::Aborted;
        };
        match status.as_u16() {
            200 | 206 => Outcome::Served,
            304 => Outcome::NotModified,
            401 | 403 => Outcome::Denied,
            404 => Outcome::NotFound,
            451 => Outcome::Withheld,
            500.. => Outcome::Failed,
            _ => Outcome::BadRequest,
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let outcome = self.outcome();
        let ended = self.books.clock.uptime();
        let first_byte = self.ready_at.unwrap_or(ended).saturating_sub(self.begun_at);
        let total = ended.saturating_sub(self.begun_at);
        self.books.metrics.request_ended(outcome, first_byte.as_secs_f64(), total.as_secs_f64(), &self.bytes);
        if !matches!(self.code, "ok" | "client_gone" | STREAM_CUT) {
            self.books.metrics.denied(self.code);
        }
        let token = self.token.as_ref().map(|standing| &standing.token);
        let access = Access {
            method: self.method,
            path: &self.path,
            status: self.status.map(|status| status.as_u16()),
            code: self.code,
            outcome: outcome.as_str(),
            token: token.map(|token| token.id.0),
            org: token.map(|token| &*token.organization),
            carrier: self.carrier.map(Carrier::as_str),
            channel: self.channel.as_ref().map(ChannelName::as_str),
            bytes: self.bytes.total(),
            first_byte_micros: micros(first_byte),
            total_micros: micros(total),
            cache: self.cache,
            client: self.client,
            request_id: self.request_id.as_str(),
        };
        access.tell();
    }
}

/// What is told of a download that was cut.
const STREAM_CUT: &str = "stream_cut";

fn micros(duration: Duration) -> u64 {
    u64::try_from((duration.as_nanos() + 500) / 1_000).unwrap_or(u64::MAX)
}
