//! The clusters themselves: they keep what was committed, fail over, and leave nothing behind.

use std::net::TcpListener;

use crate::support::postgres::{Cluster, wait};

#[test]
fn cluster_that_is_killed_keeps_what_was_committed() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let (_, database) = url.rsplit_once('/').unwrap();
    cluster.sql(database, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('a'), ('B'), ('b')");
    cluster.kill();
    cluster.resume();
    assert_eq!(cluster.sql(database, "SELECT word FROM kept ORDER BY word"), "a\nb\nB");
    assert_eq!(cluster.sql(database, "SELECT word FROM kept ORDER BY word COLLATE \"C\""), "B\na\nb");
}

#[test]
fn standby_takes_over_when_it_is_promoted() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE TABLE kept (word text)");
    let standby = cluster.standby();
    cluster.sql("postgres", "INSERT INTO kept VALUES ('after the copy')");
    wait("the standby has it", || standby.sql("postgres", "SELECT word FROM kept") == "after the copy");
    cluster.kill();
    standby.promote();
    standby.sql("postgres", "INSERT INTO kept VALUES ('after the promotion')");
    assert_eq!(standby.sql("postgres", "SELECT count(*) FROM kept"), "2");
}

#[test]
fn keeper_empties_the_place_when_the_tests_are_gone() {
    let mut cluster = Cluster::start();
    let address = cluster.address();
    let directory = cluster.abandon();
    wait("the directory is gone", || !directory.exists());
    assert!(TcpListener::bind(address).is_ok(), "the server is gone");
}
