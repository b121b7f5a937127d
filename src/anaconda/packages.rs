//! Packages by name: what `anaconda download CHANNEL/PACKAGE` asks for.
//!
//! The client takes everything before the first slash for an owner and the rest for a package; so a path is read from its end: `/package/CHANNEL…/PACKAGE`
//! and `/download/CHANNEL…/PACKAGE/VERSION/SUBDIR/FILE`, where CHANNEL may have slashes and a label.
//!
//! A list is made of the channel's indexes as the caller may see them, and a download is the channel's file: the data plane decides and serves both. It is
//! streamed rather than redirected to, since the client follows a redirect without its token.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use super::asking::{Arrival, Asking};
use super::refusal::Refusal;
use super::reply::{self, HandedOver};
use super::{Shared, area};
use crate::clock::Timestamp;
use crate::conda::PackageFile;
use crate::face::PackageEntry;

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new().route("/package/{*path}", get(list)).route("/download/{*path}", get(download))
}

/// A file, with the members that the client needs: without `upload_time` it crashes.
#[derive(Serialize)]
struct FileView {
    basename: String,
    version: String,
    #[serde(rename = "type")]
    kind: &'static str,
    upload_time: String,
    size: Option<u64>,
    md5: Option<String>,
    sha256: Option<String>,
    attrs: Value,
}

impl FileView {
    fn new(entry: PackageEntry) -> Self {
        let built = Timestamp::from_millis(entry.timestamp.unwrap_or_default());
        Self {
            basename: format!("{}/{}", entry.subdir, entry.file),
            version: entry.version,
            kind: "conda",
            upload_time: built.to_string(),
            size: entry.size,
            md5: entry.md5,
            sha256: entry.sha256,
            attrs: json!({
                "subdir": entry.subdir,
                "build": entry.build,
                "build_number": entry.build_number,
                "depends": entry.depends,
                "license": entry.license,
                "timestamp": entry.timestamp,
            }),
        }
    }
}

/// The files of a package, of every platform.
async fn list(State(shared): State<Shared>, asking: Asking, request: Request) -> Result<Response, Refusal> {
    let path = below(request.uri(), "/package/")?;
    let (channel, name) = path.rsplit_once('/').ok_or(Refusal::Route)?;
    // Paths of this face have no place for a token, and what is in one is not repeated.
    if path.split('/').any(|segment| segment.eq_ignore_ascii_case("t")) {
        return Err(Refusal::Route);
    }
    let listed = (shared.data_plane.list)(asking.caller.clone(), channel.to_owned(), name.to_owned());
    let entries = listed.await.map_err(Refusal::Told)?;
    if entries.is_empty() {
        return Err(Refusal::NoPackage { channel: channel.to_owned(), name: name.to_owned() });
    }
    asking.used();
    let latest = entries.iter().max_by_key(|entry| entry.timestamp).map(|entry| entry.version.clone());
    let mut versions: Vec<_> = entries.iter().map(|entry| entry.version.clone()).collect();
    versions.dedup();
    let files: Vec<_> = entries.into_iter().map(FileView::new).collect();
    let view = json!({
        "name": name,
        "full_name": format!("{channel}/{name}"),
        "owner": {"login": channel},
        "latest_version": latest,
        "versions": versions,
        "package_types": ["conda"],
        "files": files,
    });
    Ok(reply::json(StatusCode::OK, &view))
}

/// A file of a package: the channel's, by the request's own credential.
async fn download(State(shared): State<Shared>, arrival: Arrival, request: Request) -> Response {
    let uri = match file_of(request.uri()) {
        Ok(uri) => uri,
        Err(refusal) => return refusal.into_response(),
    };
    let (mut parts, _) = request.into_parts();
    parts.uri = uri;
    let response = (shared.data_plane.read)(parts, arrival.peer).await;
    let mut response = if response.status().is_client_error() || response.status().is_server_error() {
        told_to_client(response).await
    } else {
        response
    };
    response.extensions_mut().insert(HandedOver);
    response
}

/// Where the channel has the file of a download.
fn file_of(uri: &Uri) -> Result<Uri, Refusal> {
    let path = below(uri, "/download/")?;
    let mut ends = path.rsplitn(5, '/');
    let (Some(file), Some(subdir), Some(version), Some(package), Some(channel)) =
        (ends.next(), ends.next(), ends.next(), ends.next(), ends.next())
    else {
        return Err(Refusal::Route);
    };
    let is_of_package = PackageFile::parse(file)
        .is_some_and(|parsed| parsed.name.eq_ignore_ascii_case(package) && parsed.version == version);
    if !is_of_package {
        return Err(Refusal::NoPackage {
            channel: channel.to_owned(),
            name: format!("{package} {version}: {file}"),
        });
    }
    let path = format!("{channel}/{subdir}/{file}");
    let segments: Vec<_> = path.split('/').map(reply::segment).collect();
    let path = PathAndQuery::try_from(format!("/{}", segments.join("/"))).map_err(|_| Refusal::Path)?;
    // In HTTP/2 the host stands here.
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Refusal::Path)
}

/// What follows `prefix` in the path, decoded once. An encoded slash is one here: a channel's name may have some, and clients send it as one segment.
fn below(uri: &Uri, prefix: &str) -> Result<String, Refusal> {
    let rest = uri.path().strip_prefix(prefix).ok_or(Refusal::Route)?;
    let decoded = percent_decode_str(rest).decode_utf8().map_err(|_| Refusal::Path)?;
    Ok(decoded.into_owned())
}

/// The channel's refusal in the form that the client reads.
async fn told_to_client(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = Limited::new(body, PROBLEM_BYTES_MAX).collect().await;
    let bytes = bytes.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |member: &str| problem.get(member).and_then(Value::as_str).unwrap_or_default();
    let body = area::client_error(text("detail"), text("code"), text("request_id"));
    // To HEAD nothing is told.
    if bytes.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(parts, Body::from(body))
}

/// The gate's problem bodies are shorter.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
