//! Pages that only say something.

use maud::html;

use super::Page;

/// Something to be said.
pub(in crate::anaconda) struct Notice<'a> {
    /// In few words.
    pub(in crate::anaconda) heading: &'a str,
    /// What it means and what to do.
    pub(in crate::anaconda) words: &'a str,
    /// A way on: where it leads and what it is called.
    pub(in crate::anaconda) way: Option<(&'a str, &'a str)>,
}

/// The page that says it.
pub(in crate::anaconda) fn notice(notice: &Notice<'_>) -> Page {
    let Notice { heading, words, way } = notice;
    Page::new(
        heading,
        None,
        &html! {
            p { (words) }
            @if let Some((target, name)) = way { p { a href=(target) { (name) } } }
        },
    )
}
