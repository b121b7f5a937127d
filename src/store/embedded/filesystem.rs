//! Which file systems an embedded store may live on: local ones only.
//!
//! SQLite's write-ahead log needs memory shared by all who use the file and locks that work; over a network both fail silently
//! (<https://sqlite.org/wal.html>, section 1), and a revocation made on one machine would not be seen on another.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The kind of network file system that `path` is on; `None` for a local one.
///
/// # Errors
///
/// The system does not say.
pub(super) fn network_kind(path: &Path) -> io::Result<Option<String>> {
    let magic = magic(rustix::fs::statfs(path)?.f_type);
    if magic != FUSE {
        return Ok(kind_of_magic(magic).map(str::to_owned));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(fuse_kind(&mounts, std::fs::metadata(path)?.dev()).map(str::to_owned))
}

/// The 32 bits that matter of `statfs`'s `f_type`, whose width and sign differ between architectures.
fn magic(f_type: impl TryInto<i64>) -> u32 {
    let wide: i64 = f_type.try_into().unwrap_or(0);
    u32::try_from(wide & 0xffff_ffff).unwrap_or(0)
}

/// The network or cluster file system of a magic number (linux/magic.h and the file systems' own headers).
pub(super) fn kind_of_magic(magic: u32) -> Option<&'static str> {
    let kind = match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xfe53_4d42 => "SMB2",
        0xff53_4d42 => "CIFS",
        0x564c => "NCP",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        0x0102_1997 => "9P",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0xaad7_aaea => "PanFS",
        _ => return None,
    };
    Some(kind)
}

/// The network file system behind a FUSE mount of `device`, as `/proc/self/mountinfo` names it (`fuse.sshfs`). Local ones, such as
/// `fuseblk` and `fuse.bindfs`, and those that nobody knows pass.
pub(super) fn fuse_kind(mounts: &str, device: u64) -> Option<&str> {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let kind = mount.split_once(" - ")?.1.split(' ').next()?;
    REMOTE_FUSE.into_iter().any(|remote| kind.strip_prefix("fuse.") == Some(remote)).then_some(kind)
}

const FUSE: u32 = 0x6573_5546;

const REMOTE_FUSE: [&str; 14] = [
    "ceph-fuse",
    "curlftpfs",
    "davfs",
    "gcsfuse",
    "glusterfs",
    "goofys",
    "juicefs",
    "mountpoint-s3",
    "rclone",
    "s3fs",
    "seaweedfs",
    "smbnetfs",
    "sshfs",
    "blobfuse2",
];
