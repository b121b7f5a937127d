//! What step 6 of a request's life hands to step 7.

use http::{HeaderMap, HeaderValue, Method};

use super::body::Content;
use crate::conda::FileKind;
use crate::policy::Permit;
use crate::semantics::{CacheControl, Conditions, Precondition, Span, Validators, content_type};
use crate::upstream::{Answer, Fetched};

/// A file that may be served, as it was fetched.
pub(super) struct Served {
    pub(super) extent: Extent,
    pub(super) validators: Validators,
    /// Bytes of the whole file, if known.
    pub(super) length: Option<u64>,
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: Option<HeaderValue>,
    /// RFC 9211.
    pub(super) cache_status: &'static str,
    pub(super) content: Content,
}

/// How much of the file is served.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// A part, and the bytes of the whole, if known.
    Part(Span, Option<u64>),
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: the range lies behind the end of so many bytes, if that is known.
    NotSatisfiable(Option<u64>),
}

/// How long a shard may be kept where the upstream does not say: it is named by its digest.
const SHARD_MAX_AGE_SECONDS: u64 = 365 * 24 * 3_600;

impl Served {
    /// Makes a fetched file into one that answers this request. What the upstream left undone of the conditions is done here.
    pub(super) fn new(fetched: Fetched, permit: &Permit<'_>, method: &Method, headers: &HeaderMap) -> Self {
        let file = permit.location().file();
        let private = permit.token().is_some() || !permit.channel().is_public();
        let mut cache_control = fetched.cache_control;
        if file.is_some_and(|file| file.kind() == FileKind::Shard) {
            cache_control =
                CacheControl { immutable: true, no_cache: false, no_store: false, ..cache_control };
            cache_control.max_age_seconds.get_or_insert(SHARD_MAX_AGE_SECONDS);
        }
        let (extent, length, content) = match fetched.answer {
            Answer::NotModified => (Extent::NotModified, None, Content::Empty),
            Answer::NotSatisfiable { total } => (Extent::NotSatisfiable(total), None, Content::Empty),
            // An upstream may do ranges without conditions. Without a length only those are evaluated.
            Answer::Part { .. }
                if Conditions::of(headers).evaluate(&fetched.validators, None)
                    == Precondition::NotModified =>
            {
                (Extent::NotModified, None, Content::Empty)
            }
            Answer::Part { span, total } => (Extent::Part(span, total), total, Content::Whole(fetched.body)),
            Answer::Whole => {
                // RFC 9110 section 14.2: a range has no meaning but for GET.
                let ranged = fetched.length.filter(|_| *method == Method::GET);
                let (extent, content) = match Conditions::of(headers).evaluate(&fetched.validators, ranged) {
                    Precondition::Whole => (Extent::Whole, Content::Whole(fetched.body)),
                    Precondition::Part(span) => {
                        (Extent::Part(span, ranged), Content::part(fetched.body, span))
                    }
                    Precondition::NotModified => (Extent::NotModified, Content::Empty),
                    Precondition::NotSatisfiable => (Extent::NotSatisfiable(ranged), Content::Empty),
                };
                (extent, fetched.length, content)
            }
        };
        Self {
            extent,
            validators: fetched.validators,
            length,
            content_type: content_type(file.map_or("", |file| file.as_str())),
            cache_control: cache_control.for_client(private),
            cache_status: "channelgate; fwd=miss",
            content,
        }
    }
}
