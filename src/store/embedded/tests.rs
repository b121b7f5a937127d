//! Tests of what only SQLite on a local disk has: its place, its plan, its error codes.

use sqlx::Row;

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

/// What a million tokens would show: no query of the hot paths reads the whole table.
#[tokio::test]
async fn queries_by_digest_name_and_page_search_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        Config { url: format!("sqlite:{}", directory.path().join("gate.db").display()), ..Config::default() };
    let store = Embedded::open(&config).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    for query in [
        "SELECT f.position, t.id, (SELECT json_group_array(json_array(r.channel, g.name, x.permission)) FROM restrictions r \
         LEFT JOIN grants x ON x.organization_id = r.organization_id AND x.channel = r.channel \
         AND (x.group_id = t.acts_as_group_id OR x.group_id IN (SELECT m.group_id FROM group_members m \
         WHERE m.organization_id = t.organization_id AND m.user_name = t.user_name)) \
         LEFT JOIN groups g ON g.id = x.group_id WHERE r.organization_id = t.organization_id) \
         FROM feed f LEFT JOIN tokens t ON t.digest = ? LEFT JOIN organizations o ON o.id = t.organization_id",
        "SELECT t.id FROM tokens t JOIN organizations o ON o.id = t.organization_id \
         WHERE t.organization_id = ? AND (t.created_at, t.id) > (?, ?) ORDER BY t.created_at, t.id LIMIT ?",
        "SELECT t.id FROM organizations o JOIN tokens t ON t.organization_id = o.id WHERE o.name = ? AND t.name = ?",
        "SELECT t.id FROM tokens t WHERE t.organization_id = ? AND t.kind = 'site' AND t.ended_at IS NULL",
        "SELECT t.id FROM tokens t WHERE t.organization_id = ? AND t.kind = 'individual' AND t.ended_at IS NULL",
        "SELECT t.id FROM tokens t WHERE t.organization_id = ?1 AND t.user_name = ?2 AND (t.ended_at IS NULL OR t.ended_at > ?3)",
        "SELECT max(generation) FROM tokens WHERE organization_id = ? AND kind = 'site'",
        "SELECT max(generation) FROM tokens WHERE organization_id = ? AND user_name = ? AND kind = 'individual'",
        "SELECT max(generation) FROM tokens WHERE organization_id = ? AND name = ?",
        "SELECT seq, hash FROM audit WHERE seq > ? ORDER BY seq DESC LIMIT 1",
        "SELECT * FROM audit WHERE organization = ? AND seq > ? AND at >= ? ORDER BY seq LIMIT ?",
        "SELECT * FROM token_uses WHERE token_id = ?",
        "SELECT f.position, c.seq FROM feed f LEFT JOIN changes c ON c.seq > ? \
         WHERE f.only = 1 ORDER BY c.seq LIMIT ?",
    ] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut *reader)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let whole = |step: &&String| {
            (step.starts_with("SCAN") && !step.starts_with("SCAN f")) || step.contains("TEMP B-TREE")
        };
        assert_eq!(plan.iter().find(whole), None, "{query}: {plan:?}");
    }
}
