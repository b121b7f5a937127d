//! The walls of the house: a module names only modules of lower layers, and the rules at the bottom do no I/O.
//!
//! The sources are read as text: comments and literals are blanked out, paths (`crate::…`, `super::…`, grouped imports) are expanded. That is
//! no compiler, but a wall is not climbed by accident past it. To move a wall: [`LAYERS`] here and the page in `src/lib.rs`, in one
//! commit that says why.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom. A module may name itself and what is in a layer below its own.
const LAYERS: [&[&str]; 14] = [
    // The time, and how bodies pass in the kernel: known to whoever reads, sends or fetches them.
    &["clock", "passage"],
    &["metrics", "logging", "reading", "digest_hash", "byte_set"],
    &["conda", "semantics"],
    &["token", "account"],
    &["auth", "policy"],
    &["store", "upstream", "server"],
    &["verify", "ledger", "cache", "keys"],
    &["index"],
    // What the faces share.
    &["face"],
    &["gateway", "admin", "anaconda", "console", "load"],
    &["config"],
    // The composition root, which is layered in itself.
    &["app"],
    &["cli", "testing"],
    &["main"],
];

/// The layers of pure rules: what they need of the world is an argument.
const PURE: std::ops::RangeInclusive<usize> = 2..=4;

/// What pure rules may not name.
const IMPURE_PATHS: [&str; 9] = [
    "tokio",
    "hyper",
    "hyper_util",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
];

/// What pure rules may not do.
const IMPURE_CODE: [&str; 6] =
    [".await", "SystemTime::now", "Instant::now", "clock::ticked", "clock::second", "clock::instant"];

/// A source file without its comments and literals.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

#[test]
fn modules_name_only_lower_layers() {
    let mut climbs = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let module = source.module();
        if module == "lib" {
            continue;
        }
        let Some(layer) = layer_of(&module) else {
            climbs.push(format!("{}: `{module}` has no layer: give it one in LAYERS", source.path.display()));
            continue;
        };
        for (line, path) in source.paths() {
            let Some(named) = source.named_module(&path).filter(|named| *named != module) else { continue };
            let named_layer = layer_of(&named);
            if named_layer.is_some_and(|named| named >= layer) {
                climbs.push(format!(
                    "{}:{line}: `{module}` (layer {layer}) names `{named}` (layer {}): move what is shared down, or hand it in as \
                     an argument or a value of the lower module's own type",
                    source.path.display(),
                    named_layer.unwrap_or_default(),
                ));
            }
        }
    }
    assert!(climbs.is_empty(), "the walls are climbed:\n{}", climbs.join("\n"));
}

#[test]
fn pure_layers_do_no_io_and_read_no_clock() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        if !layer_of(&source.module()).is_some_and(|layer| PURE.contains(&layer)) {
            continue;
        }
        for (line, path) in source.paths() {
            let path = path.join("::");
            let is_below = |root: &str| {
                path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if let Some(impure) = IMPURE_PATHS.iter().find(|impure| is_below(impure)) {
                breaches.push(format!("{}:{line}: {impure}", source.path.display()));
            }
        }
        for (line, code) in source.code.lines().enumerate() {
            if let Some(impure) = IMPURE_CODE.iter().find(|impure| code.contains(**impure)) {
                breaches.push(format!("{}:{}: {impure}", source.path.display(), line + 1));
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "rules that are told what they need (`now`, headers, facts) are tested without a world around them; take as an argument what \
         these lines fetch, or move the code up:\n{}",
        breaches.join("\n")
    );
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for source in sources() {
        assert!(
            source.text.starts_with("//!"),
            "{} does not open with `//!`: what it owns, what it must never do, which neighbour to read next",
            source.path.display()
        );
        assert!(
            !source.path.ends_with("mod.rs"),
            "{}: call it after its module, beside the folder",
            source.path.display()
        );
    }
}

#[test]
fn reader_of_sources_sees_code_and_nothing_else() {
    let code =
        blanked("a /* b /* c */ d */ \"crate::e\\\"\" 'f' '\\'' r#\"g\"# b\"h\" // crate::i\nj<'k> 'l'");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "j<'k>"]);
    let source = Source {
        path: "src/gateway/x.rs".into(),
        text: String::new(),
        code: "use crate::{config::{self, A}, store};\nfn f(x: crate::token::Secret) { super::super::auth::f(super::y) }".into(),
    };
    let named: Vec<_> =
        source.paths().iter().filter_map(|(line, path)| Some((*line, source.named_module(path)?))).collect();
    let expected = [(1, "config"), (1, "config"), (1, "store"), (2, "token"), (2, "auth")];
    assert_eq!(named, expected.map(|(line, module)| (line, module.to_owned())));
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut directories = vec![root.join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = blanked(&text);
                sources.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text, code });
            }
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> String {
        let first = self.path.components().nth(1).unwrap();
        Path::new(&first).file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// Unit tests may stand on what they like.
    fn is_test(&self) -> bool {
        self.path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
    }

    /// The top-level module that a path of this file leads into, if it does.
    fn named_module(&self, path: &[String]) -> Option<String> {
        let depth = self.path.components().count() - 1;
        let root = match path.first()?.as_str() {
            "crate" => 1,
            "super" => path.iter().take_while(|segment| *segment == "super").count(),
            _ => return None,
        };
        let is_at_root = path.first()? == "crate" || root == depth;
        path.get(root).filter(|segment| is_at_root && layer_of(segment).is_some()).cloned()
    }

    /// Every path in the code with the line on which it begins, grouped imports taken apart.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let mut tokens = tokens(&self.code);
        tokens.reverse();
        while let Some((line, token)) = tokens.pop() {
            if is_word(&token) {
                tokens.push((line, token));
                path(&mut tokens, &[], line, &mut paths);
            }
        }
        paths
    }
}

/// Reads one path from the end of `tokens`, which are in reverse, with everything that its braces hold.
fn path(
    tokens: &mut Vec<(usize, String)>,
    before: &[String],
    line: usize,
    paths: &mut Vec<(usize, Vec<String>)>,
) {
    let mut segments = before.to_vec();
    while let Some((_, segment)) = tokens.pop_if(|(_, token)| is_word(token)) {
        segments.push(segment);
        if tokens.pop_if(|(_, token)| token == "::").is_none() {
            break;
        }
        if tokens.pop_if(|(_, token)| token == "{").is_some() {
            while let Some((line, token)) = tokens.pop() {
                match token.as_str() {
                    "}" => return,
                    word if is_word(word) => {
                        tokens.push((line, token));
                        path(tokens, &segments, line, paths);
                    }
                    _ => {}
                }
            }
            return;
        }
    }
    paths.push((line, segments));
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single characters, with their lines.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let end = match first {
                _ if is_part(first) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(end);
            tokens.push((index + 1, token.to_owned()));
            rest = after.trim_start();
        }
    }
    tokens
}

/// `text` with comments, strings and characters replaced by spaces; lines stay where they are.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest).unwrap_or(0);
        if length == 0 {
            // A prefix (`b`, `r`) must not be taken for a literal inside a word.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (kept, after) = rest.split_at(word.max(first.len_utf8()));
            code.push_str(kept);
            rest = after;
        } else {
            let (blank, after) = rest.split_at(length);
            code.push(' ');
            code.extend(blank.chars().filter(|&c| c == '\n'));
            rest = after;
        }
    }
    code
}

/// Bytes of the comment or literal that `text` begins with.
fn literal_or_comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        let mut depth = 0_usize;
        let mut at = 0;
        loop {
            let rest = &text[at..];
            let (change, step) = match rest {
                "" => return Some(at),
                _ if rest.starts_with("/*") => (1, 2),
                _ if rest.starts_with("*/") => (-1, 2),
                _ => (0, rest.chars().next()?.len_utf8()),
            };
            depth = depth.checked_add_signed(change)?;
            at += step;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    let unprefixed = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = text.len() - unprefixed.len();
    let hashes = unprefixed.len() - unprefixed.trim_start_matches('#').len();
    if prefix <= 2 && text[..prefix].contains('r') && unprefixed[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let begin = prefix + hashes + 1;
        return Some(text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len()));
    }
    if prefix <= 1 && unprefixed.starts_with('"') {
        return quoted(unprefixed, '"').map(|length| prefix + length);
    }
    // A lifetime has no closing quote behind its first letter.
    let is_character =
        text.starts_with("'\\") || (text.starts_with('\'') && text.chars().nth(2) == Some('\''));
    if is_character { quoted(text, '\'') } else { None }
}

fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some(at + character.len_utf8()),
            _ => {}
        }
    }
    Some(text.len())
}
