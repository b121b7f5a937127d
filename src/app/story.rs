//! An error as one sentence for a person. It must never show more than the errors themselves do.

/// The error and its causes, joined by colons. A cause that the error before it has quoted already is left out: libraries do both.
pub fn story(error: &anyhow::Error) -> String {
    let mut story = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !story.ends_with(&cause) {
            story.push_str(": ");
            story.push_str(&cause);
        }
    }
    story
}
