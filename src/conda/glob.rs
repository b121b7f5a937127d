//! Patterns of names as people type them: `*` is any run of characters, `?` any one.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// The pattern of `text`; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// Whether all of `text` is of the pattern. Takes at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let Self(pattern) = self;
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut of) = (0, 0);
        // Where the latest star stands, and how far of the text it had been given.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&letter) = text.get(at) {
            match pattern.get(of) {
                Some('*') => {
                    star = Some((of, at));
                    of += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == letter => (at, of) = (at + 1, of + 1),
                _ => {
                    let Some((stood, given)) = star else { return false };
                    star = Some((stood, given + 1));
                    (at, of) = (given + 1, stood + 1);
                }
            }
        }
        pattern.iter().skip(of).all(|&rest| rest == '*')
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
    use super::Glob;

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
