//! Writes a bundle. The format is described in `cache/bundle.rs`.

use std::io::{Read, Write};

use tar::{Builder, EntryType};

use super::{BundleError, END, FORMAT, Footer, Header, MANIFEST, Member, VERSION};

/// A bundle in the making.
pub struct BundleWriter<W: Write> {
    archive: Builder<W>,
    members: u64,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle that is to have `members`, which must be sorted by [`Member::rank`].
    ///
    /// # Errors
    ///
    /// That `out` cannot be written to.
    pub fn begin(out: W, members: &[Member]) -> Result<Self, BundleError> {
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            members: members.len() as u64,
            bytes: members.iter().map(|member| member.facts.length).sum(),
        };
        let mut manifest = to_line(serde_json::to_string(&header))?;
        for member in members {
            manifest.push_str(&to_line(member.line())?);
        }
        let mut writer = Self { archive: Builder::new(out), members: 0 };
        writer.append(MANIFEST, manifest.len() as u64, manifest.as_bytes())?;
        Ok(writer)
    }

    /// Adds the body of the next member that has one, all of it.
    ///
    /// # Errors
    ///
    /// That `body` cannot be read, or `out` not be written to.
    pub fn add(&mut self, member: &Member, body: impl Read) -> Result<(), BundleError> {
        self.members += 1;
        self.append(&member.name(), member.facts.length, body)
    }

    /// Ends it; returns where it was written to.
    ///
    /// # Errors
    ///
    /// That `out` cannot be written to.
    pub fn finish(mut self) -> Result<W, BundleError> {
        let footer = to_line(serde_json::to_string(&Footer { members: self.members }))?;
        self.append(END, footer.len() as u64, footer.as_bytes())?;
        self.archive.into_inner().map_err(BundleError::Write)
    }

    fn append(&mut self, name: &str, length: u64, body: impl Read) -> Result<(), BundleError> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(length);
        self.archive.append_data(&mut header, name, body).map_err(BundleError::Write)
    }
}

fn to_line(json: serde_json::Result<String>) -> Result<String, BundleError> {
    json.map(|json| json + "\n").map_err(|error| BundleError::Write(error.into()))
}
