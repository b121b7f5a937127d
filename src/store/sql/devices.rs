//! Devices that ask to be let in (RFC 8628).
//!
//! What a person says to one is a change, and is in the audit; that one asks, and asks again, is not.

use std::time::Duration;

use serde_json::{Value, json};

use super::change::Story;
use super::row::{self, decode};
use super::session::Session;
use super::statement::{Row, either, sql};
use super::{Failure, organizations, seats, users};
use crate::clock::Timestamp;
use crate::store::{
    Actor, Approval, Conflict, DEVICE_ATTEMPTS_MAX, DEVICES_MAX, DEVICES_OF_ADDRESS_MAX, Device, DeviceState,
    NewDevice, Poll, Sought, Store, StoreError,
};
use crate::token::TokenDigest;

impl Store {
    /// Writes down that a device asks to be let in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict): [`Conflict::Devices`] if [`DEVICES_MAX`] wait already, or
    /// [`DEVICES_OF_ADDRESS_MAX`] from the same address; [`Conflict::DeviceCode`] if one of the codes is another device's.
    pub async fn begin_device(&self, device: &NewDevice, now: Timestamp) -> Result<(), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            sql(
                "DELETE FROM device_authorizations WHERE device_digest IN \
                 (SELECT device_digest FROM device_authorizations WHERE expires_at <= $1 LIMIT $2)",
            )
            .bind(now.minus(REMEMBERED))
            .bind(PURGED_AT_ONCE)
            .execute(&mut session)
            .await?;
            let waiting = sql(
                "SELECT count(*) AS waiting, CAST(coalesce(sum(CASE WHEN address = $2 THEN 1 ELSE 0 END), 0) AS bigint) AS of_address \
                 FROM device_authorizations WHERE expires_at > $1 AND state = 'pending'",
            );
            let waiting = waiting.bind(now).bind(device.address.to_string()).fetch_one(&mut session).await?;
            if waiting.count("waiting")? >= DEVICES_MAX || waiting.count("of_address")? >= DEVICES_OF_ADDRESS_MAX {
                return Err(Conflict::Devices.into());
            }
            let kept = sql(
                "INSERT INTO device_authorizations (device_digest, user_code_digest, client_name, address, agent, scopes, \
                 created_at, expires_at, interval_s, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending') ON CONFLICT DO NOTHING",
            )
            .bind(&device.device_digest)
            .bind(&device.user_code_digest)
            .bind(&device.client_name)
            .bind(device.address.to_string())
            .bind(&device.agent)
            .bind(&device.scopes)
            .bind(now)
            .bind(device.expires_at)
            .bind(i64::try_from(device.interval.as_secs()).unwrap_or(INTERVAL_MAX_S))
            .execute(&mut session)
            .await?;
            session.commit().await?;
            if kept == 0 { Err(Conflict::DeviceCode.into()) } else { Ok(()) }
        })
        .await
    }

    /// The device of this user code, for a person to look at; nobody's once it expired. Whoever looks more than [`DEVICE_ATTEMPTS_MAX`]
    /// times has it denied.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn device_by_user_code(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<Device>, StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            sql("UPDATE device_authorizations SET attempts = attempts + 1, \
                 state = CASE WHEN attempts >= $3 THEN 'denied' ELSE state END \
                 WHERE user_code_digest = $1 AND expires_at > $2 AND state = 'pending'")
            .bind(digest)
            .bind(now)
            .bind(DEVICE_ATTEMPTS_MAX)
            .execute(&mut session)
            .await?;
            let device = of_user_code(&mut session, digest, now).await?;
            session.commit().await?;
            Ok(device)
        })
        .await
    }

    /// Lets the device of this user code in, to act as a user in an organization. Saying it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) if nothing waits with that code, or without the organization, the seat or the user;
    /// [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if the user is disabled.
    pub async fn approve_device(
        &self,
        user_code: &TokenDigest,
        user: &str,
        organization: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Device, StoreError> {
        let approval = Approval { user: user.to_owned(), organization: organization.to_owned() };
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let device = demand(change.session(), user_code, now).await?;
            if device.state == DeviceState::Approved && device.approved.as_ref() == Some(&approval) {
                return Ok(device);
            }
            let device = waiting(device)?;
            users::demand_enabled(change.session(), user).await?;
            let id = organizations::demand(change.session(), organization).await?.id;
            seats::demand(change.session(), id, organization, user).await?;
            let said = sql(
                "UPDATE device_authorizations SET state = 'approved', user_name = $2, organization_id = $3 \
                 WHERE user_code_digest = $1 AND state = 'pending'",
            );
            let said = said.bind(user_code).bind(user).bind(id).execute(change.session()).await?;
            if said == 0 {
                return Err(Sought::Device.into());
            }
            let story = Story {
                action: "device.approve",
                organization: Some(organization),
                user: Some(user),
                after: Some(told(&device)),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(Device { state: DeviceState::Approved, approved: Some(approval), ..device })
        })
        .await
    }

    /// Says no to the device of this user code, in the name of a user. Saying it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) if nothing waits with that code, or without the user.
    pub async fn deny_device(
        &self,
        user_code: &TokenDigest,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Device, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let device = demand(change.session(), user_code, now).await?;
            if device.state == DeviceState::Denied {
                return Ok(device);
            }
            let device = waiting(device)?;
            users::demand_enabled(change.session(), user).await?;
            let said = sql("UPDATE device_authorizations SET state = 'denied', user_name = $2 WHERE user_code_digest = $1 AND state = 'pending'");
            if said.bind(user_code).bind(user).execute(change.session()).await? == 0 {
                return Err(Sought::Device.into());
            }
            let story = Story {
                action: "device.deny",
                user: Some(user),
                after: Some(told(&device)),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(Device { state: DeviceState::Denied, ..device })
        })
        .await
    }

    /// Answers a device that asks whether it was let in. If so, `access` becomes the digest of its access token, for `ACCESS_LIFE`, and
    /// the device code is spent.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn poll_device(
        &self,
        device: &TokenDigest,
        access: &TokenDigest,
        now: Timestamp,
    ) -> Result<Poll, StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            let row = either(
                "SELECT state, expires_at, interval_s, polled_at, access_digest FROM device_authorizations WHERE device_digest = $1",
                "SELECT state, expires_at, interval_s, polled_at, access_digest FROM device_authorizations WHERE device_digest = $1 FOR UPDATE",
            );
            let row = row.bind(device).fetch_optional(&mut session).await?;
            let Some(row) = row else { return Ok(Poll::Unknown) };
            let expires_at: i64 = row.read("expires_at")?;
            let answer = match state(&row)? {
                DeviceState::Used => Poll::Unknown,
                DeviceState::Approved if row.read::<Option<Vec<u8>>>("access_digest")?.is_some() => Poll::Unknown,
                DeviceState::Denied => Poll::Denied,
                DeviceState::Approved | DeviceState::Pending if expires_at <= now.as_millis() => Poll::Expired,
                DeviceState::Approved => {
                    let access_expires_at = now.plus(ACCESS_LIFE);
                    sql("UPDATE device_authorizations SET access_digest = $2, access_expires_at = $3 WHERE device_digest = $1")
                        .bind(device)
                        .bind(access)
                        .bind(access_expires_at)
                        .execute(&mut session)
                        .await?;
                    Poll::Granted { access_expires_at }
                }
                DeviceState::Pending => {
                    let interval: i64 = row.read("interval_s")?;
                    let next = row::time(&row, "polled_at")?
                        .map(|at| at.plus(Duration::from_secs(interval.unsigned_abs())));
                    let too_early = next.is_some_and(|next| now < next);
                    let interval = if too_early { (interval + SLOWER_S).min(INTERVAL_MAX_S) } else { interval };
                    sql("UPDATE device_authorizations SET polled_at = $2, interval_s = $3 WHERE device_digest = $1")
                        .bind(device)
                        .bind(now)
                        .bind(interval)
                        .execute(&mut session)
                        .await?;
                    if too_early { Poll::SlowDown } else { Poll::Pending }
                }
            };
            session.commit().await?;
            Ok(answer)
        })
        .await
    }

    /// The device that was let in and has this access token, as long as that is good and its user is not disabled. Does not spend it.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn device_by_access(
        &self,
        access: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<Device>, StoreError> {
        self.call(async { Ok(of_access(&mut self.reader().await?, access, now).await?) }).await
    }

    /// Spends an access token: of several that try, one gets the device that was let in.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn redeem_access(
        &self,
        access: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<Device>, StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            let Some(device) = of_access(&mut session, access, now).await? else { return Ok(None) };
            let spent = sql("UPDATE device_authorizations SET state = 'used' WHERE access_digest = $1 AND state = 'approved'");
            let spent = spent.bind(access).execute(&mut session).await?;
            session.commit().await?;
            Ok((spent == 1).then_some(Device { state: DeviceState::Used, ..device }))
        })
        .await
    }
}

/// Devices of `device_authorizations` as `d`.
macro_rules! select_devices {
    ($condition:literal) => {
        concat!(
            "SELECT d.client_name, d.address, d.agent, d.scopes, d.created_at, d.expires_at, d.state, d.user_name, o.name AS organization",
            " FROM device_authorizations d LEFT JOIN organizations o ON o.id = d.organization_id",
            $condition
        )
    };
}

async fn of_user_code(
    session: &mut Session,
    user_code: &TokenDigest,
    now: Timestamp,
) -> Result<Option<Device>, sqlx::Error> {
    let row = sql(select_devices!(" WHERE d.user_code_digest = $1 AND d.expires_at > $2"));
    row.bind(user_code).bind(now).fetch_optional(session).await?.as_ref().map(device).transpose()
}

async fn of_access(
    session: &mut Session,
    access: &TokenDigest,
    now: Timestamp,
) -> Result<Option<Device>, sqlx::Error> {
    let row = sql(select_devices!(
        " JOIN users u ON u.name = d.user_name WHERE d.access_digest = $1 AND d.access_expires_at > $2 \
         AND d.state = 'approved' AND u.disabled_at IS NULL"
    ));
    row.bind(access).bind(now).fetch_optional(session).await?.as_ref().map(device).transpose()
}

async fn demand(session: &mut Session, user_code: &TokenDigest, now: Timestamp) -> Result<Device, Failure> {
    of_user_code(session, user_code, now).await?.ok_or_else(|| Sought::Device.into())
}

/// A device to which nobody has said anything.
fn waiting(device: Device) -> Result<Device, Failure> {
    if device.state == DeviceState::Pending { Ok(device) } else { Err(Sought::Device.into()) }
}

/// A device as the audit tells of it.
fn told(device: &Device) -> Value {
    json!({
        "client": device.client_name,
        "address": device.address.to_string(),
        "agent": device.agent,
        "scopes": device.scopes,
        "asked_at": device.created_at,
    })
}

fn device(row: &Row) -> Result<Device, sqlx::Error> {
    let time = |column| Ok::<_, sqlx::Error>(Timestamp::from_millis(row.read(column)?));
    let approved =
        match (row.read::<Option<String>>("user_name")?, row.read::<Option<String>>("organization")?) {
            (Some(user), Some(organization)) => Some(Approval { user, organization }),
            _ => None,
        };
    Ok(Device {
        client_name: row.read("client_name")?,
        address: row.read::<String>("address")?.parse().map_err(decode)?,
        agent: row.read("agent")?,
        scopes: row.read("scopes")?,
        created_at: time("created_at")?,
        expires_at: time("expires_at")?,
        state: state(row)?,
        approved,
    })
}

fn state(row: &Row) -> Result<DeviceState, sqlx::Error> {
    let word: String = row.read("state")?;
    DeviceState::named(&word).ok_or_else(|| decode(format!("\"{word}\" is no state")))
}

/// How long an access token is good that nobody spends.
const ACCESS_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long a device code is remembered after it expired, so that its device is told so.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// How many of those that are no longer remembered are removed by whoever begins one.
const PURGED_AT_ONCE: u32 = 100;

/// By how many seconds a device that asks too often has to wait longer (RFC 8628, section 3.5).
const SLOWER_S: i64 = 5;

/// The longest that it has to wait.
const INTERVAL_MAX_S: i64 = 60;
