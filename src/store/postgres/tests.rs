//! Tests of what only a server has: its error codes, and its URL.

use super::*;
use crate::store::{Config, ErrorKind};

#[test]
fn errors_of_the_driver_say_who_can_help() {
    let name = "postgres://db:5432/gate";
    for (error, kind) in [
        (sqlx::Error::PoolTimedOut, ErrorKind::Unavailable),
        (sqlx::Error::PoolClosed, ErrorKind::Unavailable),
        (sqlx::Error::Io(std::io::Error::other("gone")), ErrorKind::Unavailable),
        (sqlx::Error::Configuration("the server is a standby".into()), ErrorKind::Unavailable),
        (sqlx::Error::Decode("odd".into()), ErrorKind::Corrupt),
        (sqlx::Error::RowNotFound, ErrorKind::Corrupt),
    ] {
        let error = meaning(name, error);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn codes_of_the_server_are_outages_unless_the_schema_is_broken() {
    for code in
        ["08006", "53300", "57P01", "57P03", "55P03", "40P01", "25006", "28P01", "3D000", "42501", "99999"]
    {
        assert!(of_code(code).is_some(), "{code}");
    }
    for code in ["42P01", "42703", "23505", "P0001", "XX001"] {
        assert_eq!(of_code(code), None, "{code}");
    }
}

#[tokio::test]
async fn urls_that_mean_nothing_are_refused_without_their_secrets() {
    for url in [
        "postgres://gate:hunter2@db:x/gate",
        "postgres://gate@db/gate?hunter2=1",
        "postgres://gate@db/gate?sslmode=hunter2",
    ] {
        let config = Config { url: url.into(), ..Config::default() };
        let error = Postgres::open(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"), "{error:?}");
    }
}
