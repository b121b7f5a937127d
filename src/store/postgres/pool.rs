//! Connections to one server, a bounded number of them.
//!
//! A connection is lent by a [`Lease`] and comes back when that is dropped, but only if nothing is outstanding on it: one whose statement was
//! given up, by a timeout or because whoever asked went away, is closed, and so are all that lie idle once one of them turns out to be dead.
//! A transaction that was not committed is undone first. One that lay idle for longer than [`TRUSTED_FOR`] is tried before it is lent, so
//! that a server that was restarted costs nobody a failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// A bounded number of connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: PgConnectOptions,
    side: Side,
    /// For how long a connection is waited for.
    patience: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// What a server must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Where changes are made.
    Primary,
    /// Any, for reading.
    Replica,
}

impl Pool {
    /// No connection yet, and at most so many, each waited for no longer than `patience`.
    pub(super) fn new(
        options: PgConnectOptions,
        side: Side,
        connections_max: usize,
        patience: Duration,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(connections_max.max(1)));
        Self(Arc::new(Shared { options, side, patience, permits, idle: Mutex::default() }))
    }

    /// A connection to the server.
    pub(super) async fn acquire(&self) -> Result<Lease, sqlx::Error> {
        let acquired = timeout(self.0.patience, async {
            let permit = Arc::clone(&self.0.permits).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = match self.tried().await {
                Some(connection) => connection,
                None => connect(&self.0.options, self.0.side).await?,
            };
            let origin = Some((self.clone(), permit));
            Ok(Lease { connection: Some(connection), origin, is_busy: false, is_changing: false })
        });
        acquired.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// An idle connection that answers.
    async fn tried(&self) -> Option<PgConnection> {
        let Idle { mut connection, since } = self.idle(|idle| idle.pop())?;
        if since.elapsed() < TRUSTED_FOR {
            return Some(connection);
        }
        if let Ok(Ok(())) = timeout(ANSWERED_WITHIN, connection.ping()).await {
            return Some(connection);
        }
        // The others lay there for longer.
        self.idle(Vec::clear);
        None
    }

    fn give_back(&self, connection: PgConnection) {
        if !self.0.permits.is_closed() {
            self.idle(|idle| idle.push(Idle { connection, since: Instant::now() }));
        }
    }

    /// Ends the connections that are idle, and the others when they come back.
    pub(super) async fn close(&self) {
        self.0.permits.close();
        for Idle { connection, .. } in self.idle(std::mem::take) {
            // A server that does not answer notices by itself.
            let _ = timeout(ANSWERED_WITHIN, connection.close()).await;
        }
    }

    fn idle<T>(&self, work: impl FnOnce(&mut Vec<Idle>) -> T) -> T {
        work(&mut self.0.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that is lent.
#[derive(Debug)]
pub(in crate::store) struct Lease {
    /// There until it is dropped.
    connection: Option<PgConnection>,
    /// Where it goes then, and the leave to have it.
    origin: Option<(Pool, OwnedSemaphorePermit)>,
    /// True while an answer is outstanding.
    is_busy: bool,
    /// True while a transaction is open.
    is_changing: bool,
}

impl Lease {
    /// A connection of no pool.
    pub(super) async fn alone(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = Some(connect(options, Side::Primary).await?);
        Ok(Self { connection, origin: None, is_busy: false, is_changing: false })
    }

    /// Runs one statement to its end.
    pub(in crate::store) async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        self.is_busy = true;
        let outcome = work(connection).await;
        self.is_busy = match &outcome {
            Ok(_) => false,
            // After an error that the server told of it waits for the next statement, unless it goes away (57P01 to 57P05).
            Err(sqlx::Error::Database(error)) => error.code().is_none_or(|code| code.starts_with("57P")),
            Err(_) => true,
        };
        outcome
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.run(async |connection| sqlx::query("BEGIN").execute(connection).await).await?;
        self.is_changing = true;
        Ok(())
    }

    /// Makes what was done in the transaction true.
    pub(in crate::store) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.is_changing {
            self.run(async |connection| sqlx::query("COMMIT").execute(connection).await).await?;
            self.is_changing = false;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut connection), Some((pool, permit))) = (self.connection.take(), self.origin.take())
        else {
            return;
        };
        if self.is_busy {
            return;
        }
        if !self.is_changing {
            return pool.give_back(connection);
        }
        // Without a runtime the connection is closed, which undoes the transaction as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let undone = timeout(ANSWERED_WITHIN, sqlx::query("ROLLBACK").execute(&mut connection));
                if let Ok(Ok(_)) = undone.await {
                    pool.give_back(connection);
                }
                drop(permit);
            });
        }
    }
}

/// Connects to a server, and makes sure that it is what it must be.
async fn connect(options: &PgConnectOptions, side: Side) -> Result<PgConnection, sqlx::Error> {
    let connected = timeout(CONNECTED_WITHIN, async {
        let mut connection = options.connect().await?;
        let found = sqlx::query(FOUND).fetch_one(&mut connection).await?;
        if side == Side::Primary && found.try_get("is_standby")? {
            return Err(sqlx::Error::Configuration("the server is a standby".into()));
        }
        Ok(connection)
    });
    let too_long = || std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting takes too long");
    connected.await.unwrap_or_else(|_| Err(too_long().into()))
}

/// Whether the server is a standby. A commit that is acknowledged before it is on a disk is none here, whatever the server's default.
const FOUND: &str = "SELECT pg_is_in_recovery() AS is_standby, CASE WHEN current_setting('synchronous_commit') = 'off' \
                     THEN set_config('synchronous_commit', 'on', false) END AS raised";

/// For how long a connection that did nothing is taken for a living one.
const TRUSTED_FOR: Duration = Duration::from_millis(50);

/// How long an idle connection has for a sign of life, for undoing a transaction and for saying goodbye.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// How long making a connection may take, looking up the name and the handshakes included.
const CONNECTED_WITHIN: Duration = Duration::from_millis(1_500);
