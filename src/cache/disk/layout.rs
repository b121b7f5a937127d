//! Where things lie in the cache's directory, and what their names tell.
//!
//! ```text
//! CACHEDIR.TAG                                                  tells backup programs to pass by
//! objects/<channel, '/' as '+'>@<upstreams>/<2 digits>/<62 digits>   a whole object; the digits are its key's SHA-256
//! partial/<uuid>                                                a draft, locked by its writer
//! ```
//!
//! A file with another name is not the gate's: it is neither counted nor removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fcntl_setfl, flock, fstat, open, statat,
};
use rustix::io::Errno;
use uuid::Uuid;

use crate::cache::key::{Key, KeyDigest};
use crate::cache::sha256::Sha256;

/// The directory of a cache.
pub(super) struct Layout {
    root: PathBuf,
}

/// An object's file, of which only the name and the inode were looked at.
pub(super) struct Found<'a> {
    pub(super) shelf: &'a str,
    pub(super) digest: KeyDigest,
    pub(super) stat: Stat,
}

/// A directory of at most 1/256 of a shelf's objects.
pub(super) struct Bay {
    shelf: String,
    digits: String,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes what is missing of the directories. Only the gate's user may look into them: they hold private packages.
    pub(super) fn make(&self) -> io::Result<()> {
        for directory in [self.objects(), self.drafts()] {
            make_directory(&directory)?;
        }
        let tag = OpenOptions::new().write(true).create_new(true).open(self.root.join(TAG_NAME));
        match tag {
            Ok(mut file) => file.write_all(TAG.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Refuses a directory that somebody else uses: a slip in the configuration must not spread a cache over it.
    pub(super) fn demand_own(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut foreign = None;
        for entry in entries {
            let name = entry?.file_name();
            if name == TAG_NAME {
                return Ok(());
            }
            if !OWN_NAMES.iter().any(|own| name == *own) {
                foreign = Some(name);
            }
        }
        match foreign {
            None => Ok(()),
            Some(name) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("it holds {name:?} and no cache; a cache wants a directory of its own"),
            )),
        }
    }

    fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    fn drafts(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Where the object lies.
    pub(super) fn object(&self, shelf: &str, digest: &KeyDigest) -> PathBuf {
        let name = digest.to_string();
        let (bay, file) = name.split_at_checked(BAY_DIGITS).unwrap_or_default();
        let mut path = self.objects();
        path.extend([shelf, bay, file]);
        path
    }

    /// The inode of the object's file; `None` if there is none.
    pub(super) fn stat(&self, shelf: &str, digest: &KeyDigest) -> io::Result<Option<Stat>> {
        match statat(rustix::fs::CWD, self.object(shelf, digest), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a finished draft its name, in the place of whatever has it.
    pub(super) fn publish(&self, draft: &Path, object: &Path) -> io::Result<()> {
        match (fs::rename(draft, object), object.parent()) {
            (Err(error), Some(bay)) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(bay)?;
                fs::rename(draft, object)
            }
            (renamed, _) => renamed,
        }
    }

    /// A new draft, locked: as long as the file is open somewhere in this process, nobody takes it for abandoned.
    pub(super) fn make_draft(&self) -> io::Result<(File, PathBuf)> {
        for _ in 0..DRAFT_ATTEMPTS {
            let path = self.drafts().join(Uuid::new_v4().to_string());
            let file = match create_draft(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Somebody emptied the directory while the gate runs.
                    self.make()?;
                    create_draft(&path)?
                }
                created => created?,
            };
            flock(&file, FlockOperation::LockExclusive)?;
            // Between the two calls above another process may have found the file unlocked, and removed it.
            if fstat(&file)?.st_nlink > 0 {
                return Ok((file, path));
            }
        }
        Err(io::Error::other("other processes keep removing what is begun in the cache's directory"))
    }

    /// Removes the drafts whose writers are dead, of whatever process they were; returns how many.
    pub(super) fn sweep_drafts(&self) -> io::Result<u64> {
        let mut swept = 0;
        for entry in fs::read_dir(self.drafts())? {
            let entry = entry?;
            let is_draft = entry.file_name().to_str().is_some_and(|name| Uuid::try_parse(name).is_ok());
            if is_draft && entry.file_type()?.is_file() && is_abandoned(&entry.path())? {
                swept += u64::from(remove(&entry.path())?);
            }
        }
        Ok(swept)
    }

    /// All directories of objects, beginning with that of another first digit each time that `turn` differs.
    pub(super) fn bays(&self, turn: u8) -> io::Result<Vec<Bay>> {
        let mut bays = Vec::new();
        for shelf in directories(&self.objects())?.into_iter().filter(|name| is_shelf(name)) {
            for digits in directories(&self.objects().join(&shelf))? {
                let is_bay = digits.len() == BAY_DIGITS && digits.bytes().all(is_digit);
                if is_bay {
                    bays.push(Bay { shelf: shelf.clone(), digits });
                }
            }
        }
        let turn = usize::from(turn) * bays.len() / 256;
        bays.rotate_left(turn);
        Ok(bays)
    }

    /// Looks at the names and inodes of all objects of a bay. What vanishes meanwhile is passed over.
    pub(super) fn scan(&self, bay: &Bay, mut on: impl FnMut(&Found<'_>)) -> io::Result<()> {
        let path = self.objects().join(&bay.shelf).join(&bay.digits);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = match open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        let mut digits = bay.digits.clone();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            digits.truncate(BAY_DIGITS);
            digits.push_str(name);
            if !digits.bytes().all(is_digit) {
                continue;
            }
            let Ok(digest) = digits.parse::<Sha256>() else { continue };
            let stat = match statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                on(&Found { shelf: &bay.shelf, digest: KeyDigest::from_bytes(*digest.as_bytes()), stat });
            }
        }
        Ok(())
    }
}

/// The directory below `objects` that the objects of a channel with certain upstreams share. A channel's name has no `+` and no `@`.
pub(super) fn shelf(key: &Key) -> String {
    format!("{}@{}", key.channel().as_str().replace('/', "+"), key.upstreams())
}

fn is_shelf(name: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(channel, upstreams)| {
        !channel.is_empty() && upstreams.parse::<crate::upstream::UpstreamsId>().is_ok()
    })
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

/// Opens an object's file, without the kernel's noting that it was read: the last use is the cache's to note.
pub(super) fn open_object(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match open(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only a file's owner may ask for that.
        Err(Errno::PERM) => open(path, flags, Mode::empty()),
        opened => opened,
    };
    Ok(file?.into())
}

fn create_draft(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
    // As with objects; where the file system maps owners, it may be refused.
    let _ = fcntl_setfl(&file, OFlags::NOATIME);
    Ok(file.into())
}

/// Removes a file; false if it was gone already.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_abandoned(draft: &Path) -> io::Result<bool> {
    let file = match File::open(draft) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The names of the directories in a directory; none where it is gone.
fn directories(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Digits of an object's name that are the name of its directory.
const BAY_DIGITS: usize = 2;

/// More than any race can take.
const DRAFT_ATTEMPTS: usize = 16;

/// What marks a cache's directory.
const TAG_NAME: &str = "CACHEDIR.TAG";

/// What may lie in the directory of a cache that was never opened before: the beginnings of one, and what a file system makes of itself.
const OWN_NAMES: [&str; 3] = ["objects", "partial", "lost+found"];

/// <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file marks a cache of channelgate, which backups need not hold.\n";
