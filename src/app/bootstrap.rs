//! The first start of a gate: an organization, its site token, and a file that only its owner can read.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::clock::Timestamp;
use crate::store::Store;
use crate::token::Minted;

/// Makes the organization `default` and its site token, once in the store's life. The file with the token is written and flushed before
/// the token counts, so that no token is lost; `None` if it happened before.
///
/// # Errors
///
/// The store's, the random source's, the disk's; the next start tries again.
pub(super) async fn run(store: &Store, data_dir: &Path, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
    let Some(begun) = store.begin_bootstrap(now).await? else { return Ok(None) };
    let minted = Minted::random()?;
    let file = data_dir.join("bootstrap-token");
    write(&file, &minted)
        .with_context(|| format!("the first token cannot be written to {}", file.display()))?;
    begun.commit(&minted.digest()).await?;
    Ok(Some(file))
}

/// Replaces `file` whole: mode 0600 from its first byte on, never half written.
fn write(file: &Path, minted: &Minted) -> io::Result<()> {
    let beside = file.with_extension("new");
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut new = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(new, "{}", minted.expose())?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
