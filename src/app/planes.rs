//! The two planes as the listeners see them.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response, StatusCode};

use crate::admin::Admin;
use crate::gateway::{self, Gateway};
use crate::server::{Peer, RequestBody, Respond};

/// The data plane behind its listener.
pub(super) struct DataPlane(pub(super) Arc<Gateway>);

impl Respond for DataPlane {
    type Body = gateway::Body;

    async fn respond(&self, request: Request<RequestBody>, peer: Peer) -> Response<gateway::Body> {
        let (parts, _discarded) = request.into_parts();
        self.0.answer(&parts, peer.address).await
    }

    fn overloaded(&self, request: Request<RequestBody>, peer: Peer) -> Response<gateway::Body> {
        let (parts, _discarded) = request.into_parts();
        self.0.overloaded(&parts, peer.address)
    }

    fn malformed(&self, status: StatusCode, peer: Peer) -> Response<gateway::Body> {
        self.0.malformed(status, peer.address)
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
