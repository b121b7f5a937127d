//! The two planes as the listeners see them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};

use crate::admin::Admin;
use crate::anaconda::{self, Anaconda};
use crate::gateway::{self, Gateway};
use crate::passage::Lane;
use crate::server::{BoxError, Express, Peer, Reply, RequestBody, Respond};

/// The data plane behind its listener: the channels, and beside them what the anaconda tools ask for.
pub(super) struct DataPlane {
    pub(super) gateway: Arc<Gateway>,
    pub(super) anaconda: Arc<Anaconda>,
}

impl Respond for DataPlane {
    type Body = DataBody;

    fn express_fields(&self) -> Option<&'static [HeaderName]> {
        Some(&gateway::FIELDS)
    }

    fn takes_express(&self, path: &str) -> bool {
        !Anaconda::owns(path)
    }

    async fn express(&self, asked: Express<'_>, peer: Peer) -> Reply<DataBody> {
        let Express { method, path, fields } = asked;
        self.gateway.express(&method, path, &fields, peer.address).await.map(DataBody::Channel)
    }

    async fn respond(&self, request: Request<RequestBody>, peer: Peer) -> Response<DataBody> {
        if Anaconda::owns(request.uri().path()) {
            // In a box, so that it adds nothing to what requests for channels carry along.
            return Box::pin(self.answer_tool(request, peer)).await;
        }
        let (parts, _discarded) = request.into_parts();
        self.gateway.answer(&parts, peer.address).await.map(DataBody::Channel)
    }

    fn overloaded(&self, request: Request<RequestBody>, peer: Peer) -> Response<DataBody> {
        let (parts, _discarded) = request.into_parts();
        self.gateway.overloaded(&parts, peer.address).map(DataBody::Channel)
    }

    fn malformed(&self, status: StatusCode, peer: Peer) -> Response<DataBody> {
        self.gateway.malformed(status, peer.address).map(DataBody::Channel)
    }

    fn lend(&self, body: &mut DataBody, lane: &Lane) {
        if let DataBody::Channel(body) = body {
            body.lend(lane);
        }
    }
}

impl DataPlane {
    async fn answer_tool(&self, request: Request<RequestBody>, peer: Peer) -> Response<DataBody> {
        let (parts, body) = request.into_parts();
        if gateway::check_host(&parts).is_err() {
            // What is wrong with a request's host is told in one place.
            return self.gateway.answer(&parts, peer.address).await.map(DataBody::Channel);
        }
        self.anaconda.answer(Request::from_parts(parts, body), peer.address).await.map(DataBody::Tool)
    }
}

/// What the face for the tools has of the data plane.
pub(super) fn for_tools(gateway: &Arc<Gateway>) -> anaconda::DataPlane {
    let (reader, prober, lister) = (Arc::clone(gateway), Arc::clone(gateway), Arc::clone(gateway));
    anaconda::DataPlane {
        read: Box::new(move |request, peer| {
            let gateway = Arc::clone(&reader);
            Box::pin(async move { gateway.answer(&request, peer).await.map(Body::new) })
        }),
        probe: Box::new(move |standing, channel| {
            let gateway = Arc::clone(&prober);
            Box::pin(async move { gateway.probe(standing, &channel).await })
        }),
        list: Box::new(move |caller, channel, name| {
            let gateway = Arc::clone(&lister);
            Box::pin(async move { gateway.package(&caller, &channel, &name).await })
        }),
    }
}

/// A body of the data plane.
pub(super) enum DataBody {
    /// A channel's.
    Channel(gateway::Body),
    /// For a tool, or a browser.
    Tool(Body),
}

impl http_body::Body for DataBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Channel(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
            Self::Tool(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Channel(body) => body.is_end_stream(),
            Self::Tool(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Channel(body) => body.size_hint(),
            Self::Tool(body) => body.size_hint(),
        }
    }
}

/// The admin plane behind its listener.
pub(super) struct AdminPlane(pub(super) Arc<Admin>);

impl Respond for AdminPlane {
    type Body = Body;

    async fn respond(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
        self.0.answer(request, peer.address).await
    }

    fn overloaded(&self, _request: Request<RequestBody>, _peer: Peer) -> Response<Body> {
        self.0.overloaded()
    }

    fn malformed(&self, status: StatusCode, _peer: Peer) -> Response<Body> {
        self.0.malformed(status)
    }
}
