//! The life of one connection: handshake, protocol, requests, end.
//!
//! One task runs [`run`], and everything that can end a connection ends it there: the client, a deadline, the order to
//! shut down. Must never look into a request beyond what framing needs. Read `activity` next for the deadlines.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::{sleep_until, timeout, timeout_at};
use tracing::debug;

use super::activity::{Activity, Ended, Limits, Protocol, Verdict};
use super::express::{self, Ending};
use super::incoming::RequestBody;
use super::outgoing::{InFlight, Open, Outgoing};
use super::socket::Socket;
use super::streams::{StreamExecutor, StreamPace};
use super::tls::ALPN_HTTP2;
use super::wire::{self, Transport, Wire};
use super::{Config, Meters, Peer, Respond, Shutdown, Tls};
use crate::passage::Lane;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Listener<R> {
    pub(super) config: Config,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) respond: Arc<R>,
    pub(super) meters: Meters,
    pub(super) shutdown: Shutdown,
    pub(super) in_flight: Arc<InFlight>,
}

/// Serves `tcp` until it ends, whoever ends it.
pub(super) async fn run<R: Respond>(listener: Arc<Listener<R>>, tcp: TcpStream, address: SocketAddr) {
    let activity = Activity::new(listener.limits, Arc::clone(&listener.in_flight), Instant::now());
    let socket = Socket::new(tcp, Arc::clone(&activity));
    let opened = tokio::select! {
        biased;
        opened = open(&listener, socket, &activity) => opened,
        // Nothing has been asked yet, so nothing is lost.
        () = listener.shutdown.begun() => None,
    };
    let Some((mut transport, (protocol, mut received))) = opened else { return };
    activity.speaks(protocol);
    let lane = lane(&listener.config, &mut transport, protocol);
    let peer = Peer { address, tls: listener.tls.is_some() };
    let fields = listener.respond.express_fields().filter(|_| listener.config.fast_paths.are_open());
    if let (Protocol::Http1, Some(fields)) = (protocol, fields) {
        let connection = express::Connection {
            listener: &listener,
            activity: &activity,
            peer,
            lane: lane.as_ref(),
            transport: &mut transport,
        };
        let usual = pin!(connection.run(fields, received));
        match supervise(usual, |_| (), &activity, &listener.shutdown).await {
            (Some(Ok(Ending::Unusual(rest))), None) => {
                // Each response went out before the next head was looked at.
                activity.handed_over();
                received = rest;
            }
            (ended, why) => {
                if let Some(Err(error)) = ended {
                    debug!(%error, "connection failed");
                }
                return listener.ended(why);
            }
        }
    }
    // In a box, so that a connection without need of it holds no room for it.
    Box::pin(speak(&listener, &activity, peer, lane.as_ref(), transport, (protocol, received))).await;
}

/// Serves what is left of a connection with hyper; `received` was read of it already.
async fn speak<R: Respond>(
    listener: &Arc<Listener<R>>,
    activity: &Arc<Activity>,
    peer: Peer,
    lane: Option<&Lane>,
    transport: Transport,
    (protocol, received): (Protocol, BytesMut),
) {
    let wire = Wire::new(
        transport,
        (protocol, received),
        listener.config.header_bytes_max,
        (Arc::clone(&listener.respond), peer),
        Arc::clone(activity),
    );
    let service = service_fn(|request| respond(listener, activity, peer, lane, request));
    let io = TokioIo::new(wire);
    let (ended, why) = match protocol {
        Protocol::Http1 => {
            let connection = pin!(http1(&listener.config).serve_connection(io, service));
            supervise(connection, http1::Connection::graceful_shutdown, activity, &listener.shutdown).await
        }
        Protocol::Http2 => {
            let streams = StreamExecutor {
                activity: Arc::clone(activity),
                reset_slow: listener.meters.streams_reset_slow.clone(),
            };
            let connection = pin!(http2(&listener.config, streams).serve_connection(io, service));
            supervise(connection, http2::Connection::graceful_shutdown, activity, &listener.shutdown).await
        }
    };
    if let Some(Err(error)) = ended {
        debug!(%error, "connection failed");
    }
    listener.ended(why);
}

impl<R> Listener<R> {
    /// A connection has ended, for this reason if it was ours.
    fn ended(&self, why: Option<Ended>) {
        if let Some(why) = why {
            debug!(?why, "connection ended");
            self.meters.ended(why).inc();
        }
    }
}

/// The lane of a connection whose bytes go out as hyper writes them.
fn lane(config: &Config, transport: &mut Transport, protocol: Protocol) -> Option<Lane> {
    match transport {
        Transport::Plain(socket) if protocol == Protocol::Http1 && config.fast_paths.are_open() => {
            let lane = Lane::new(config.fast_paths);
            socket.open(lane.clone());
            Some(lane)
        }
        Transport::Plain(_) | Transport::Tls(_) => None,
    }
}

/// Gets a connection to where its protocol is known, with what was read to tell. `None` if it ended before.
async fn open<R>(
    listener: &Listener<R>,
    socket: Socket,
    activity: &Arc<Activity>,
) -> Option<(Transport, (Protocol, BytesMut))> {
    let mut transport = match &listener.tls {
        None => Transport::Plain(socket),
        Some(tls) => {
            // In a box, so that a connection that has its keys holds no room for having got them.
            let accept = Box::pin(tls.acceptor().accept(socket));
            let Ok(Ok(mut stream)) = timeout(listener.config.tls_handshake_timeout, accept).await else {
                listener.meters.tls_failures.inc();
                return None;
            };
            let (_, session) = stream.get_mut();
            session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
            let http2 = session.alpn_protocol() == Some(ALPN_HTTP2);
            let transport = Transport::Tls(Box::new(stream));
            if http2 {
                activity.opened(Instant::now());
                return Some((transport, (Protocol::Http2, BytesMut::new())));
            }
            transport
        }
    };
    let now = Instant::now();
    activity.opened(now);
    let deadline = activity.head_deadline(now).into();
    match timeout_at(deadline, wire::tell_protocol(&mut transport)).await {
        Ok(told) => told.ok().flatten().map(|told| (transport, told)),
        Err(_) => {
            listener.meters.ended(Ended::HeaderTimeout).inc();
            None
        }
    }
}

/// Runs `connection` under the deadlines of `activity`. Answers what came of it, unless it was cut, and why we ended it, if we did.
async fn supervise<C: Future>(
    mut connection: Pin<&mut C>,
    close: fn(Pin<&mut C>),
    activity: &Activity,
    shutdown: &Shutdown,
) -> (Option<C::Output>, Option<Ended>) {
    let mut closing = None;
    let mut stopping = false;
    loop {
        let next = match activity.verdict(Instant::now()) {
            Verdict::Look(next) => next,
            Verdict::Close(why) => {
                closing = Some(why);
                activity.closing();
                close(connection.as_mut());
                continue;
            }
            Verdict::Cut(why) => {
                if why == Ended::SlowClient {
                    // What the kernel still holds for this client is let go of too.
                    activity.reset_on_close();
                }
                return (None, Some(why));
            }
        };
        let mut began = pin!(unconstrained(shutdown.begun()));
        let mut over = pin!(sleep_until(next.into()));
        let mut waits: Option<Waker> = None;
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(ended));
            }
            // Both wake this task when it is time, and each request wakes it several times before: they are polled again only if they have
            // something to say.
            let is_told = over.is_elapsed() || (!stopping && shutdown.has_begun());
            if !is_told && waits.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            waits = Some(cx.waker().clone());
            if !stopping && began.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Stop);
            }
            pin!(unconstrained(over.as_mut())).poll(cx).map(|()| Event::Look)
        });
        match event.await {
            Event::Ended(ended) => return (Some(ended), closing),
            Event::Stop => {
                stopping = true;
                activity.closing();
                close(connection.as_mut());
            }
            Event::Look => {}
        }
    }
}

/// Why a connection is looked at.
enum Event<T> {
    /// It has ended, with this.
    Ended(T),
    /// The order to shut down was given.
    Stop,
    /// It is time to.
    Look,
}

/// One request: a place in flight, the responder's answer, the wrapping of both bodies.
fn respond<R: Respond>(
    listener: &Arc<Listener<R>>,
    activity: &Arc<Activity>,
    peer: Peer,
    lane: Option<&Lane>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Outgoing<R::Body>>, Infallible>> + Send + 'static {
    let mut open = Open::begin(activity, !request.body().is_end_stream());
    let listener = Arc::clone(listener);
    let (activity, lane) = (Arc::clone(activity), lane.cloned());
    async move {
        let config = &listener.config;
        let version = request.version();
        let discard = version < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        let request = request.map(|incoming| {
            let (max, timeout) = (config.request_body_max, config.request_body_timeout);
            RequestBody::new(incoming, max, timeout, discard, &activity)
        });
        let ends = version < Version::HTTP_2 && request.body().declares_too_much();
        let mut response = if open.take_place(config.requests_in_flight_max) {
            listener.respond.respond(request, peer).await
        } else {
            listener.meters.requests_overloaded.inc();
            listener.respond.overloaded(request, peer)
        };
        if let Some(lane) = &lane {
            listener.respond.lend(response.body_mut(), lane);
        }
        if ends {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // To an HTTP/1.0 client a body without a length ends with the connection.
        let framed = version > Version::HTTP_10;
        let stream = StreamPace::current();
        Ok(response.map(|body| Outgoing::new(body, open, stream, framed)))
    }
}

fn http1(config: &Config) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Deadlines are ours: hyper's would also count the idle time between requests.
        .header_read_timeout(None::<Duration>)
        .max_header_size(config.header_bytes_max)
        .max_buf_size(config.header_bytes_max.max(HTTP1_BUFFER_BYTES_MIN));
    builder
}

fn http2(config: &Config, streams: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.http2_streams_max)
        .max_header_list_size(config.http2_header_list_bytes_max)
        .max_pending_accept_reset_streams(config.http2_pending_resets_max)
        .max_local_error_reset_streams(config.http2_error_resets_max)
        .keep_alive_interval(config.http2_keep_alive_interval)
        .keep_alive_timeout(config.http2_keep_alive_timeout)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES);
    builder
}

/// What rustls may hold of a response before the socket has taken it: 256 KiB saves 2 to 19 percent of the CPU time of
/// large bodies against its default of 64 KiB, and more saves nothing.
const TLS_BUFFER_BYTES: usize = 256 * 1024;

/// The least read buffer hyper accepts.
const HTTP1_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Requests carry small bodies or none, so little is granted: what nobody reads stays in memory.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What one stream may have waiting for a socket that is not writable.
const HTTP2_SEND_BUFFER_BYTES: usize = 256 * 1024;
