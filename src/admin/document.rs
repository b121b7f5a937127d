//! The API's description: what all routes have in common, put around what each declares.

use http::{Method, StatusCode};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Content, ContentBuilder, Info, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder,
    Schema, Server,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::face::Problem;

/// The condition of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header that `conditions` reads")]
pub(super) struct IfMatch {
    /// Make the change only if what it overwrites has one of these entity tags, or, with `*`, if there is something; else 412.
    #[param(rename = "If-Match", required = false)]
    if_match: String,
}

/// The condition of reading.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header that `conditions` reads")]
pub(super) struct IfNoneMatch {
    /// Entity tags that the client has, so that it gets 304.
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: String,
}

/// The condition of making something new.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header that `conditions` reads")]
pub(super) struct IfNothing {
    /// `*`: make the change only if there is nothing yet; else 412.
    #[param(rename = "If-None-Match", required = false, inline)]
    if_none_match: Star,
}

/// Anything.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a word that `conditions` reads")]
enum Star {
    #[schema(rename = "*")]
    Star,
}

/// What makes repeating a request harmless.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header that `conditions` reads")]
pub(super) struct Once {
    /// A key of the client's choice, for 24 hours: a repeated request is answered with what the first one made (`Idempotency-Replayed: true`,
    /// a token without its value); another request under the same key is 422, one whose first is still under way 409.
    #[param(rename = "Idempotency-Key", required = false, pattern = "^[!#-\\[\\]-~]{1,255}$")]
    idempotency_key: String,
}

/// The document without its paths.
pub(super) fn base() -> OpenApi {
    let mut info = Info::new("channelgate admin API", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    OpenApiBuilder::new().info(info).servers(Some([Server::new("/")])).build()
}

/// Adds to every operation the answers that it shares with the others, and says how tokens are sent.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.values_mut().for_each(describe_members);
    // A body of which every member may be left out may be left out itself.
    let may_be_nothing: Vec<_> = components
        .schemas
        .iter()
        .filter(
            |(_, schema)| matches!(schema, RefOr::T(Schema::Object(object)) if object.required.is_empty()),
        )
        .map(|(name, _)| Ref::from_schema_name(name).ref_location)
        .collect();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let key = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    let schemes = [
        ("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
        ("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic))),
        ("apiKey", key("X-API-Key")),
        ("auth", key("X-Auth")),
    ];
    let security =
        schemes.each_ref().map(|(name, _)| SecurityRequirement::new::<_, [&str; 0], &str>(*name, []));
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            if operation.operation_id.as_deref() == Some(super::DESCRIBE) {
                continue;
            }
            operation.security = Some(security.to_vec());
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                let is_optional = body.content.values().all(|content| {
                    matches!(content, RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. })
                        if may_be_nothing.contains(&schema.ref_location))
                });
                body.required = Some(if is_optional { Required::False } else { Required::True });
            }
            for (status, description) in answers(&method, operation) {
                add(operation, status, description);
            }
        }
    }
}

/// Puts what is said of a member to its own schema. What derives the schemas puts it beside that, as a second one, an object: and nothing is text
/// and an object.
fn describe_members(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for member in object.properties.values_mut() {
        let RefOr::T(Schema::AllOf(all)) = member else { continue };
        let [RefOr::T(Schema::Object(own)), RefOr::T(Schema::Object(said))] = &mut all.items[..] else {
            continue;
        };
        if said.properties.is_empty() {
            own.description = said.description.take().or_else(|| own.description.take());
            *member = RefOr::T(Schema::Object(std::mem::take(own)));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What an operation of this kind may answer, besides what it declares.
fn answers(method: &Method, operation: &Operation) -> Vec<(StatusCode, &'static str)> {
    let parameters = || {
        operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    };
    let has = |name: &str| parameters().any(|parameter| parameter.name == name);
    let has_query = parameters().any(|parameter| parameter.parameter_in == ParameterIn::Query);
    let is_read = *method == Method::GET;
    let takes_body = operation.request_body.is_some();
    let is_placed = has("org") || has_query;
    let every = [
        (true, StatusCode::BAD_REQUEST, "The request is malformed, or contradicts itself."),
        (
            true,
            StatusCode::UNAUTHORIZED,
            "The token is missing, unknown, or no longer serves; `code` says why.",
        ),
        (true, StatusCode::FORBIDDEN, "The token has not the right; `code` says which."),
        (is_placed, StatusCode::NOT_FOUND, "There is no such thing, or it is another organization's."),
        (takes_body, StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
        (!is_read, StatusCode::CONFLICT, "Something stands in the way; `detail` says what."),
        (
            has("If-Match") || has("If-None-Match") && !is_read,
            StatusCode::PRECONDITION_FAILED,
            "What is there is not what the condition says.",
        ),
        (takes_body, StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."),
        (takes_body, StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON."),
        (
            !is_read,
            StatusCode::UNPROCESSABLE_ENTITY,
            "The request means something that cannot be; `detail` says what.",
        ),
        (true, StatusCode::SERVICE_UNAVAILABLE, "Passing trouble: try again after Retry-After."),
    ];
    let mut answers: Vec<_> =
        every.into_iter().filter(|(may, ..)| *may).map(|(_, status, about)| (status, about)).collect();
    if is_read && has("If-None-Match") {
        answers.push((StatusCode::NOT_MODIFIED, "The client has it already."));
    }
    answers
}

fn add(operation: &mut Operation, status: StatusCode, description: &str) {
    let mut response = ResponseBuilder::new().description(description);
    if status != StatusCode::NOT_MODIFIED {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        response = response.content("application/problem+json", problem);
    }
    let response = RefOr::T(response.build());
    operation.responses.responses.entry(status.as_u16().to_string()).or_insert(response);
}

const ABOUT: &str = "What the command line does, for programs. A token of this gate opens it, by its scopes: `api:read` reads, `api:write` \
    changes seats and tokens, `api:modify-group` changes groups; `api` is the three of them, `all` everything. It acts inside its own \
    organization: others look as if they did not exist. Organizations themselves are changed with an operator's token, which the command \
    line alone makes. Send the token as `Authorization: Bearer`, `Authorization: token`, as the password of `Basic`, or in `X-API-Key` or \
    `X-Auth`. Errors are problem details (RFC 9457). Lists are arrays, page by page: the header Link leads to the next one.";
