//! An upstream that does as servers do: tags, conditions, and an account of what it was asked. It can fail, hang, and be killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::faulty::{Faulty, Reply, Seen};

/// The server. Dropping it kills it: connections end, and nobody listens any more.
pub struct Origin {
    server: Faulty,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, File>,
    mood: Mood,
}

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// Everything with this status.
    Status(u16),
    /// Nothing, ever.
    Hanging,
}

struct File {
    tag: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Origin {
    /// One without files.
    pub async fn start() -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let answering = Arc::clone(&shelf);
        let server = Faulty::start(move |seen| answering.lock().unwrap().answer(seen)).await;
        Self { server, shelf }
    }

    /// One with the files of a directory and of those below it.
    pub async fn of(directory: &Path) -> Self {
        let origin = Self::start().await;
        for path in files_below(directory) {
            let body = std::fs::read(directory.join(&path)).unwrap();
            origin.put(&path, &body, &[]);
        }
        origin
    }

    /// Puts a file in its place, with a tag of its own.
    pub fn put(&self, path: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) {
        let mut shelf = self.shelf.lock().unwrap();
        let tag = format!(
            "\"{}-{}\"",
            path.len(),
            body.as_ref().iter().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte))
        );
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        shelf.files.insert(format!("/{path}"), File { tag, headers, body: body.as_ref().to_vec() });
    }

    /// Takes a file away.
    pub fn remove(&self, path: &str) {
        self.shelf.lock().unwrap().files.remove(&format!("/{path}")).unwrap();
    }

    /// From now on it answers like this.
    pub fn turn(&self, mood: Mood) {
        self.shelf.lock().unwrap().mood = mood;
    }

    /// What a channel's `upstreams` names.
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// The requests for one file so far: `GET`, `GET if-none-match`, `HEAD`.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let target = format!("/{path}");
        let seen = self.server.seen();
        let of_it = seen.iter().filter(|seen| seen.target == target);
        of_it
            .map(|seen| {
                let condition = if seen.header("if-none-match").is_some() { " if-none-match" } else { "" };
                format!("{}{condition}", seen.method)
            })
            .collect()
    }

    /// The header lines of the first request for one file, in order, names in lower case.
    pub fn lines(&self, path: &str) -> Vec<String> {
        let target = format!("/{path}");
        let seen = self.server.seen().into_iter().find(|seen| seen.target == target).unwrap();
        let lower = |line: String| match line.split_once(':') {
            Some((name, value)) => format!("{}: {}", name.to_ascii_lowercase(), value.trim()),
            None => line,
        };
        let mut lines: Vec<_> = seen.lines.into_iter().map(lower).collect();
        lines.sort();
        lines
    }

    /// All requests so far.
    pub fn count(&self) -> usize {
        self.server.seen().len()
    }
}

impl Shelf {
    fn answer(&self, seen: &Seen) -> Reply {
        match self.mood {
            Mood::Well => {}
            Mood::Status(status) => return Reply::new(status),
            Mood::Hanging => return Reply::nothing().stall(),
        }
        let Some(file) = self.files.get(&seen.target) else { return Reply::new(404) };
        let is_current = seen.header("if-none-match") == Some(file.tag.as_str());
        let mut reply = Reply::new(if is_current { 304 } else { 200 }).header("ETag", &file.tag);
        if !file.headers.iter().any(|(name, _)| name == "Last-Modified") {
            reply = reply.header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT");
        }
        let reply = file.headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
        if is_current { reply } else { reply.body(&file.body) }
    }
}

/// The paths of all files below a directory, relative to it.
pub fn files_below(directory: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                paths.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    paths.sort();
    paths
}
