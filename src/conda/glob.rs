//! Patterns of names as people type them: `*` is any run of characters, `?` any one.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// Most patterns are names: those are compared as a whole.
    is_plain: bool,
}

impl Glob {
    /// The pattern of `text`; every text is one.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), is_plain: !text.contains(['*', '?']) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if it has no `*` and no `?`, so that it matches only itself.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether all of `text` is of the pattern. Takes at most the product of both lengths, and no memory.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_plain {
            return self.text == text;
        }
        let (mut pattern, mut rest) = (self.text.chars(), text.chars());
        // What follows the latest star, and what is left of the text behind what the star was given.
        let mut star = None;
        loop {
            let (before, mut of) = (rest.clone(), pattern.clone());
            let Some(letter) = rest.next() else { break };
            match of.next() {
                Some('*') if of.as_str().is_empty() => return true,
                Some('*') => {
                    star = Some((of.clone(), before.clone()));
                    (pattern, rest) = (of, before);
                }
                Some(wanted) if wanted == '?' || wanted == letter => pattern = of,
                _ => {
                    let Some((stood, given)) = &mut star else { return false };
                    given.next();
                    (pattern, rest) = (stood.clone(), given.clone());
                }
            }
        }
        pattern.all(|letter| letter == '*')
    }
}

impl std::str::FromStr for Glob {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Glob;

    /// The definition, letter by letter.
    fn is_of(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|given| is_of(rest, &text[given..])),
            (['?', rest @ ..], [_, text @ ..]) => is_of(rest, text),
            ([wanted, rest @ ..], [letter, text @ ..]) => wanted == letter && is_of(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn pattern_matches_what_its_definition_says(pattern in "[abä*?]{0,8}", text in "[abä]{0,8}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Glob::new(&pattern).matches(&text), is_of(&letters(&pattern), &letters(&text)));
        }
    }

    #[test]
    fn pattern_covers_the_whole_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*-1.0-*.conda", "x-1.0-0.conda", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "x", true),
            ("ä?", "äö", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
