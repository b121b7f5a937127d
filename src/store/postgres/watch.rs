//! How changes on a server are heard of.
//!
//! One connection listens (`LISTEN`), another one reads the feed. A notification says only that there is news; what it is stands in the
//! feed, which is also read each [`Config::heartbeat`] without any: a lost notification loses nothing, it costs a heartbeat. With each such
//! reading the gate sends a notification to itself on the way that news take. While that comes back, the ear is good; when it stays out for
//! two heartbeats, or the connection ends, the ear is dropped and another one is made. Meanwhile the feed is read each
//! [`Config::poll_interval`].

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::Postgres;
use crate::clock::Clock;
use crate::store::sql::{Failure, Session, sql};
use crate::store::{Changes, Config, Place, Store, StoreError};

/// A follower of the feed.
#[derive(Debug)]
pub(in crate::store) struct Watch {
    poll_interval: Duration,
    heartbeat: Duration,
    /// Reads the feed.
    eye: Option<Session>,
    ear: Option<Ear>,
    /// When there is to be a reading without any news.
    next_poll: Instant,
    /// When the next ear may be made.
    next_ear: Instant,
    clock: Clock,
}

/// Hears of news.
#[derive(Debug)]
struct Ear {
    listener: PgListener,
    /// The channel of its own notifications.
    own: String,
    /// When the latest of them was sent that has not come back.
    unheard_since: Option<Instant>,
}

impl Watch {
    pub(in crate::store) fn new(config: &Config) -> Self {
        let now = Instant::now();
        Self {
            poll_interval: config.poll_interval.max(Duration::from_millis(1)),
            heartbeat: config.heartbeat.max(Duration::from_millis(10)),
            eye: None,
            ear: None,
            next_poll: now,
            next_ear: now,
            clock: Clock::system(),
        }
    }

    pub(in crate::store) async fn ready(&mut self) {
        let until = self.next_poll;
        if let Some(ear) = &mut self.ear {
            tokio::select! {
                () = sleep_until(until) => return,
                is_alive = ear.news() => {
                    if is_alive {
                        return;
                    }
                }
            }
            self.deafen();
        }
        sleep_until(self.next_poll).await;
    }

    pub(in crate::store) async fn poll(
        &mut self,
        store: &Store,
        postgres: &Postgres,
        place: &mut Place,
    ) -> Result<Changes, StoreError> {
        let now = Instant::now();
        // Whatever becomes of this poll: not in a hurry.
        self.next_poll = now + self.poll_interval;
        if self.ear.as_ref().is_some_and(|ear| ear.is_deaf(now, self.heartbeat)) {
            self.ear = None;
        }
        // Taken out: a failure or a cancellation leaves none, and the next poll makes another.
        let (eye, asked_at) = (self.eye.take(), self.clock.uptime());
        let polled = store.call(async {
            let mut eye = match eye {
                Some(eye) => eye,
                None => postgres.alone().await?,
            };
            // Before the feed is read: what changes in between is heard of.
            if self.ear.is_none() && now >= self.next_ear {
                self.next_ear = now + self.heartbeat;
                self.ear = Ear::listen(postgres, self.heartbeat).await;
            }
            let changes = place.read(&mut eye).await?;
            if let Some(ear) = self.ear.as_mut().filter(|ear| ear.unheard_since.is_none()) {
                sql("SELECT pg_notify($1, '')").bind(ear.own.as_str()).fetch_all(&mut eye).await?;
                ear.unheard_since = Some(now);
            }
            Ok::<_, Failure>((changes, eye))
        });
        let polled = polled.await;
        if polled.is_err() {
            self.deafen();
        }
        let (changes, eye) = polled?;
        self.eye = Some(eye);
        if self.ear.is_some() {
            self.next_poll = now + self.heartbeat;
        }
        postgres.told(asked_at, &changes, *place);
        Ok(changes)
    }

    fn deafen(&mut self) {
        self.ear = None;
        self.next_poll = self.next_poll.min(Instant::now() + self.poll_interval);
    }
}

impl Ear {
    /// One that listens; `None` if that cannot be had now. The feed is read all the same.
    async fn listen(postgres: &Postgres, patience: Duration) -> Option<Self> {
        let own = format!("channelgate_{}", Uuid::new_v4().simple());
        let listened = timeout(patience, async {
            // Of its own, so that it goes with the listener.
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience);
            let pool = pool.connect_lazy_with(postgres.options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen_all([CHANNEL, own.as_str()]).await?;
            Ok::<_, sqlx::Error>(listener)
        });
        let listener = listened.await.ok()?.ok()?;
        Some(Self { listener, own, unheard_since: None })
    }

    /// Waits for news; false if there will be none.
    async fn news(&mut self) -> bool {
        loop {
            match self.listener.try_recv().await {
                Ok(Some(notification)) if notification.channel() == self.own => self.unheard_since = None,
                Ok(Some(_)) => return true,
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// True if its own notification did not come back.
    fn is_deaf(&self, now: Instant, heartbeat: Duration) -> bool {
        self.unheard_since.is_some_and(|since| now.saturating_duration_since(since) > heartbeat * 2)
    }
}

/// Says that there is news, to everybody who listens.
pub(in crate::store) const ANNOUNCE: &str = "SELECT pg_notify('channelgate', '')";

const CHANNEL: &str = "channelgate";
