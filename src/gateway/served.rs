//! What step 6 of a request's life hands to step 7.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::body::Content;
use super::refusal::Refusal;
use crate::cache::{self, Filling, Object, Portion, Sha256, Supply};
use crate::clock::Timestamp;
use crate::conda::FileKind;
use crate::policy::Permit;
use crate::semantics::{CacheControl, Conditions, EntityTag, Precondition, Span, Validators, content_type};
use crate::upstream::{Answer, Fetched};

/// A file that may be served, as it was fetched. In a box, because it passes through many hands.
pub(super) struct Served {
    pub(super) extent: Extent,
    pub(super) validators: Validators,
    /// Bytes of the whole file, if known.
    pub(super) length: Option<u64>,
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: Option<HeaderValue>,
    /// For how long the bytes have not been compared with the upstream's, where clients are told how long they are fresh (RFC 9111
    /// section 5.1).
    pub(super) age: Option<Duration>,
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

/// Who asks, and how.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) permit: &'a Permit<'a>,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

/// How long a shard may be kept where the upstream does not say: it is named by its digest.
const SHARD_MAX_AGE_SECONDS: u64 = 365 * 24 * 3_600;

impl Served {
    /// Makes a fetched file into one that answers this request. What the upstream left undone of the conditions is done here.
    pub(super) fn fetched(fetched: Box<Fetched>, asked: Asked<'_>) -> Box<Self> {
        let (extent, length, content) = match fetched.answer {
            Answer::NotModified => (Extent::NotModified, None, Content::Empty),
            Answer::NotSatisfiable { total } => (Extent::NotSatisfiable(total), None, Content::Empty),
            // An upstream may do ranges without conditions. Without a length only those are evaluated.
            Answer::Part { .. }
                if Conditions::of(asked.headers).evaluate(&fetched.validators, None)
                    == Precondition::NotModified =>
            {
                (Extent::NotModified, None, Content::Empty)
            }
            Answer::Part { span, total } => (Extent::Part(span, total), total, Content::Whole(fetched.body)),
            Answer::Whole => {
                let extent = asked.extent(&fetched.validators, fetched.length);
                let content = match extent {
                    Extent::Whole => Content::Whole(fetched.body),
                    Extent::Part(span, _) => Content::part(fetched.body, span),
                    Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
                };
                (extent, fetched.length, content)
            }
        };
        let served = asked.served(extent, fetched.validators, fetched.cache_control, content);
        served.of_length(length).with_status("channelgate; fwd=miss")
    }

    /// A JSON document that the gate made for this request.
    pub(super) fn made(body: Bytes, now: Timestamp, asked: Asked<'_>) -> Box<Self> {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        let validators = Validators {
            etag: Some(EntityTag::strong(&format!("sha256-{}", Sha256::of(&body)))),
            last_modified: Some((SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).into()),
        };
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let extent = asked.extent(&validators, Some(length));
        let content = match extent {
            _ if *asked.method == Method::HEAD => Content::Empty,
            Extent::Whole => Content::Own(body),
            Extent::Part(span, _) => {
                let end = usize::try_from(span.end).unwrap_or(usize::MAX).min(body.len());
                let start = usize::try_from(span.start).unwrap_or(usize::MAX).min(end);
                Content::Own(body.slice(start..end))
            }
            Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
        };
        // It is of one token and of today.
        let freshness = CacheControl { no_cache: true, ..CacheControl::default() };
        let served = asked.served(extent, validators, freshness, content);
        served.of_length(Some(length)).with_status("channelgate; fwd=bypass")
    }

    /// Makes what the cache supplies into what answers this request, as soon as its first byte may go out.
    ///
    /// # Errors
    ///
    /// A file that turned out bad or broken before that.
    pub(super) async fn supplied(
        supply: Supply,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Box<Self>, Refusal> {
        let status = supply.status();
        let served = match supply {
            Supply::Object(object, status) => {
                let age = now.since(object.validated_at());
                let is_aged = status.is_stored() && object.facts().cache_control.max_age_seconds.is_some();
                Self::object(&object, asked).aged(is_aged.then_some(age))
            }
            Supply::Portion(portion, status) => {
                let cache_control = asked.freshness_of(&portion);
                let age = now.since(portion.object.validated_at());
                let is_aged = status.is_stored() && cache_control.max_age_seconds.is_some();
                Self::portion(&portion, cache_control, asked).aged(is_aged.then_some(age))
            }
            Supply::Filling(filling, _) => Self::filling(filling, asked).await?,
            Supply::Through(through, _) => {
                let head = through.head().clone();
                let extent = asked.extent(&head.validators, head.length);
                let content = match extent {
                    _ if *asked.method == Method::HEAD => Content::Empty,
                    Extent::Whole => Content::Cached(through.into_body(None)),
                    Extent::Part(span, _) => Content::Cached(through.into_body(Some(span))),
                    Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
                };
                asked.served(extent, head.validators, head.cache_control, content).of_length(head.length)
            }
            Supply::Head(fetched) => Self::fetched(fetched, asked),
        };
        Ok(served.with_status(status.as_header()))
    }

    /// An object: it has a strong tag and a date, the upstream's or its own.
    fn object(object: &Object, asked: Asked<'_>) -> Box<Self> {
        let facts = object.facts();
        let validators = object.validators().clone();
        let extent = asked.extent(&validators, Some(facts.length));
        let content = match extent {
            _ if *asked.method == Method::HEAD => Content::Empty,
            Extent::Whole => Content::Cached(cache::Body::of(object, None)),
            Extent::Part(span, _) => Content::Cached(cache::Body::of(object, Some(span))),
            Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
        };
        asked.served(extent, validators, facts.cache_control, content).of_length(Some(facts.length))
    }

    /// A part of an object that is a file of its own, named by its digest.
    fn portion(portion: &Portion, cache_control: CacheControl, asked: Asked<'_>) -> Box<Self> {
        let Portion { object, span: all, sha256 } = portion;
        let validators = Validators {
            etag: Some(EntityTag::strong(&format!("sha256-{sha256}"))),
            ..object.validators().clone()
        };
        let extent = asked.extent(&validators, Some(all.length()));
        let content = match extent {
            _ if *asked.method == Method::HEAD => Content::Empty,
            Extent::Whole => Content::Cached(cache::Body::of(object, Some(*all))),
            Extent::Part(part, _) => {
                let span = Span { start: all.start + part.start, end: all.start + part.end };
                Content::Cached(cache::Body::of(object, Some(span)))
            }
            Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
        };
        asked.served(extent, validators, cache_control, content).of_length(Some(all.length()))
    }

    /// A file on its way.
    async fn filling(mut filling: Filling, asked: Asked<'_>) -> Result<Box<Self>, Refusal> {
        let wanted = |head: &cache::Head| asked.extent(&head.validators, head.length);
        if *asked.method == Method::GET {
            let span = |head: &cache::Head| match wanted(head) {
                Extent::Part(span, _) => Some(span),
                _ => None,
            };
            if matches!(wanted(filling.head()), Extent::Whole | Extent::Part(..)) {
                filling.released(span).await?;
            }
        }
        let head = filling.head().clone();
        let extent = wanted(&head);
        let content = match extent {
            _ if *asked.method == Method::HEAD => Content::Empty,
            Extent::Whole => Content::Cached(filling.body(None)),
            Extent::Part(span, _) => Content::Cached(filling.body(Some(span))),
            Extent::NotModified | Extent::NotSatisfiable(_) => Content::Empty,
        };
        Ok(asked.served(extent, head.validators, head.cache_control, content).of_length(head.length))
    }

    /// The same of a file of so many bytes.
    fn of_length(mut self: Box<Self>, length: Option<u64>) -> Box<Self> {
        self.length = length;
        self
    }

    /// The same with this `Age`.
    fn aged(mut self: Box<Self>, age: Option<Duration>) -> Box<Self> {
        self.age = age;
        self
    }

    /// The same with this `Cache-Status`.
    fn with_status(mut self: Box<Self>, cache_status: &'static str) -> Box<Self> {
        self.cache_status = cache_status;
        self
    }
}

impl Asked<'_> {
    /// Holds the request's conditions against a file.
    fn extent(&self, validators: &Validators, length: Option<u64>) -> Extent {
        // RFC 9110 section 14.2: a range has no meaning but for GET.
        let ranged = length.filter(|_| *self.method == Method::GET);
        match Conditions::of(self.headers).evaluate(validators, ranged) {
            Precondition::Whole => Extent::Whole,
            Precondition::Part(span) => Extent::Part(span, ranged),
            Precondition::NotModified => Extent::NotModified,
            Precondition::NotSatisfiable => Extent::NotSatisfiable(ranged),
        }
    }

    /// The directives of what a portion was made of. A shard never changes, whatever it was made of.
    fn freshness_of(&self, portion: &Portion) -> CacheControl {
        match self.permit.location().file().map(|file| file.kind()) {
            Some(FileKind::Shard) => CacheControl::default(),
            _ => portion.object.facts().cache_control,
        }
    }

    /// What is said of every file in the same way.
    fn served(
        &self,
        extent: Extent,
        validators: Validators,
        cache_control: CacheControl,
        content: Content,
    ) -> Box<Served> {
        let file = self.permit.location().file();
        let private = self.permit.token().is_some() || !self.permit.channel().is_public();
        let mut cache_control = cache_control;
        if file.is_some_and(|file| file.kind() == FileKind::Shard) {
            cache_control =
                CacheControl { immutable: true, no_cache: false, no_store: false, ..cache_control };
            cache_control.max_age_seconds.get_or_insert(SHARD_MAX_AGE_SECONDS);
        }
        Box::new(Served {
            extent,
            validators,
            length: None,
            content_type: content_type(file.map_or("", |file| file.as_str())),
            cache_control: cache_control.for_client(private),
            age: None,
            cache_status: "",
            content,
        })
    }
}
