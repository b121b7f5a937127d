//! Content types, chosen from the file name alone: an upstream must not be able to make a browser run what it serves.

use http::HeaderValue;
use memchr::memrchr;

/// The `Content-Type` of a file of a channel.
pub fn content_type(file_name: &str) -> HeaderValue {
    let stop = memrchr(b'.', file_name.as_bytes());
    let extension = stop.and_then(|stop| file_name.get(stop + 1..)).unwrap_or_default();
    HeaderValue::from_static(match extension {
        "json" => "application/json",
        "bz2" => "application/x-bzip2",
        "zst" => "application/zstd",
        "html" => "text/html; charset=utf-8",
        "xml" => "application/xml",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "txt" | "md" => "text/plain; charset=utf-8",
        // conda packages are zip archives, but nobody should unpack them by type.
        _ => "application/octet-stream",
    })
}
