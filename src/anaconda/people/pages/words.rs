//! Times in words.

use std::time::Duration;

/// How long ago something was.
pub(in crate::anaconda) fn ago(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..=9 => "just now".to_owned(),
        seconds @ 10..=59 => format!("{seconds} seconds ago"),
        _ => format!("{} ago", lasting(Duration::from_secs(elapsed.as_secs() / 60 * 60))),
    }
}

/// How long something lasts, in the largest unit of which there are two, or one whole.
pub(in crate::anaconda) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")]
        .into_iter()
        .find(|&(size, _)| seconds >= 2 * size || (seconds >= size && seconds.is_multiple_of(size)))
        .map_or((seconds, "second"), |(size, unit)| (seconds.div_ceil(size), unit));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}
