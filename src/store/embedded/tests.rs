//! Tests of what only SQLite on a local disk has: its place, its error codes.

use super::filesystem::{fuse_kind, kind_of_magic};
use super::*;
use crate::store::ErrorKind;

#[test]
fn file_systems_over_a_network_are_told_from_local_ones() {
    for (name, magic, expected) in [
        ("ext4", 0xef53, None),
        ("btrfs", 0x9123_683e, None),
        ("xfs", 0x5846_5342, None),
        ("tmpfs", 0x0102_1994, None),
        ("overlay", 0x794c_7630, None),
        ("zfs", 0x2fc1_2fc1, None),
        ("nfs", 0x6969, Some("NFS")),
        ("smb", 0x517b, Some("SMB")),
        ("cifs", 0xff53_4d42, Some("CIFS")),
        ("smb2", 0xfe53_4d42, Some("SMB2")),
        ("afs", 0x5346_414f, Some("AFS")),
        ("ceph", 0x00c3_6400, Some("Ceph")),
        ("9p", 0x0102_1997, Some("9P")),
        ("lustre", 0x0bd0_0bd0, Some("Lustre")),
        ("gpfs", 0x4750_4653, Some("GPFS")),
        ("beegfs", 0x1983_0326, Some("BeeGFS")),
    ] {
        assert_eq!(kind_of_magic(magic), expected, "{name}");
    }
}

#[test]
fn fuse_mounts_over_a_network_are_told_by_their_mount() {
    let mounts = "29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                  77 29 0:52 / /mnt/far rw,nosuid - fuse.sshfs host:/srv rw,user_id=0\n\
                  78 29 0:53 / /mnt/disk rw - fuseblk /dev/sdb1 rw\n\
                  79 29 0:54 / /mnt/host rw master:3 - virtiofs share rw";
    for (name, minor, expected) in [
        ("sshfs", 52, Some("fuse.sshfs")),
        ("fuseblk", 53, None),
        ("virtiofs", 54, None),
        ("not mounted", 99, None),
    ] {
        assert_eq!(fuse_kind(mounts, rustix::fs::makedev(0, minor)), expected, "{name}");
    }
}

#[test]
fn errors_of_the_pool_say_who_can_help() {
    let file = Path::new("/x.db");
    for (error, kind) in [
        (sqlx::Error::PoolTimedOut, ErrorKind::Unavailable),
        (sqlx::Error::WorkerCrashed, ErrorKind::Unavailable),
        (sqlx::Error::Io(std::io::Error::other("gone")), ErrorKind::Unavailable),
        (sqlx::Error::Decode("odd".into()), ErrorKind::Corrupt),
        (sqlx::Error::RowNotFound, ErrorKind::Corrupt),
    ] {
        let error = meaning(file, error);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("/x.db"), "{error}");
    }
}
