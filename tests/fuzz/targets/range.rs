//! Any `Range` and `Content-Range`: what is read prints as it reads, and what it selects lies within the body.

#![no_main]

use channelgate::semantics::{ByteRange, Span};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64)| {
    let (header, length) = input;
    if let Ok(range) = header.parse::<ByteRange>() {
        assert_eq!(range.to_string().parse(), Ok(range));
        if let Some(span) = range.of(length) {
            assert!(span.start < span.end && span.end <= length);
            let printed = span.content_range(Some(length));
            assert_eq!(Span::parse_content_range(&printed), Some((span, Some(length))), "{printed}");
        }
    }
    if let Some((span, total)) = Span::parse_content_range(header) {
        assert!(span.start < span.end && total.is_none_or(|total| span.end <= total));
    }
});
