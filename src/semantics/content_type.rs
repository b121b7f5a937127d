//! Content types, chosen from the file name alone: an upstream must not be able to make a browser run what it serves.

use http::HeaderValue;
use memchr::memrchr;

/// The `Content-Type` of a file of a channel.
pub fn content_type(file_name: &str) -> HeaderValue {
    let stop = memrchr(b'.', file_name.as_bytes());
    let extension = stop.and_then(|stop| file_name.get(stop + 1..)).unwrap_or_default();
    match extension {
        "json" => const { HeaderValue::from_static("application/json") },
        "bz2" => const { HeaderValue::from_static("application/x-bzip2") },
        "zst" => const { HeaderValue::from_static("application/zstd") },
        "html" => const { HeaderValue::from_static("text/html; charset=utf-8") },
        "xml" => const { HeaderValue::from_static("application/xml") },
        "png" => const { HeaderValue::from_static("image/png") },
        "svg" => const { HeaderValue::from_static("image/svg+xml") },
        "jpg" | "jpeg" => const { HeaderValue::from_static("image/jpeg") },
        "gif" => const { HeaderValue::from_static("image/gif") },
        "ico" => const { HeaderValue::from_static("image/x-icon") },
        "txt" | "md" => const { HeaderValue::from_static("text/plain; charset=utf-8") },
        // conda packages are zip archives, but nobody should unpack them by type.
        _ => const { HeaderValue::from_static("application/octet-stream") },
    }
}
