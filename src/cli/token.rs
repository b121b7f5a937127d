//! `channelgate token …`.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;

use super::UsageError;
use super::args::{Expiry, Output, TokenCommand};
use super::channel::warn_if_closed;
use super::output::{self, tell};
use super::session::{PAGE, Session, read_line};
use super::view::token_table;
use crate::clock::Timestamp;
use crate::conda::ChannelName;
use crate::face::view::{SyncedView, TokenView, UnknownTokenView};
use crate::store::{ActsAs, Issued, Listed, NewToken, Purpose, Synced, Which};
use crate::token::{
    End, EndCause, Minted, Scopes, Secret, TokenDigest, TokenId, TokenRecord, TokenState, is_importable,
};

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, and what nobody confirmed.
pub(super) async fn run(command: TokenCommand, session: &Session<'_>) -> anyhow::Result<()> {
    match command {
        TokenCommand::Issue { org, holder, grace, output } => {
            issue(session, &org, holder.user.as_deref(), grace, output).await
        }
        TokenCommand::Create { org, name, scopes, channels, acts_as, expiry, output } => {
            let minted = Minted::random()?;
            let wish = Wish { org, name, scopes, channels, acts_as: acts_as.into(), expiry, imported: false };
            let record = insert_scoped(session, wish, &minted.digest()).await?;
            deliver(session, output, &record, minted.expose())
        }
        TokenCommand::Import { org, name, scopes, channels, expiry, output } => {
            let value = read_line("the token's value")?;
            if !is_importable(&value) {
                return Err(UsageError(
                    "this value cannot be imported: it must have 20 to 256 characters of [A-Za-z0-9-], and if it begins with \
                     cg- it must be a token that a channelgate issued"
                        .to_owned(),
                )
                .into());
            }
            if name.contains(&value) {
                return Err(UsageError(
                    "a token's name cannot hold its value: it is kept, and shown to others. Choose another one".to_owned(),
                )
                .into());
            }
            let wish = Wish { org, name, scopes, channels, acts_as: None, expiry, imported: true };
            let record = insert_scoped(session, wish, &TokenDigest::of(value.as_bytes())).await?;
            show(session, output, &record).await
        }
        TokenCommand::Sync { org, target, output } => sync(session, &org, &target.into(), output).await,
        TokenCommand::List { org, expiring, output } => list(session, &org, expiring, output).await,
        TokenCommand::Show { id, output } => show(session, output, &find(session, TokenId(id)).await?).await,
        TokenCommand::Revoke { id, name, org, reason, output } => {
            let record = match (id, name, org) {
                (Some(id), ..) => find(session, TokenId(id)).await?,
                (None, Some(name), Some(org)) => find_by_name(session, &org, &name).await?,
                _ => {
                    return Err(
                        UsageError("name the token by its id, or by --name and --org".to_owned()).into()
                    );
                }
            };
            revoke(session, &record, reason, output).await
        }
        TokenCommand::Verify { output } => verify(session, output).await,
    }
}

/// A scoped token as asked for.
struct Wish {
    org: String,
    name: String,
    scopes: Scopes,
    channels: Option<Vec<ChannelName>>,
    acts_as: Option<ActsAs>,
    expiry: Expiry,
    imported: bool,
}

async fn insert_scoped(
    session: &Session<'_>,
    wish: Wish,
    digest: &TokenDigest,
) -> anyhow::Result<TokenRecord> {
    session.organization(&wish.org).await?;
    let now = session.now();
    let channels = wish.channels.map(without_repetition);
    for channel in channels.iter().flatten() {
        warn_if_closed(session.config, &wish.org, channel, "the token");
    }
    let token = NewToken {
        organization: wish.org,
        purpose: Purpose::Scoped { name: wish.name, acts_as: wish.acts_as },
        scopes: wish.scopes,
        channels: channels.map(|names| names.iter().map(ChannelName::to_string).collect()),
        expires_at: Some(wish.expiry.after(now).map_err(|error| UsageError(error.to_string()))?),
        imported: wish.imported,
        api_key: None,
        replaces_namesake: false,
    };
    Ok(session.store.insert_token(&token, digest, &session.by, now, Duration::ZERO).await?.record)
}

fn without_repetition(channels: Vec<ChannelName>) -> Vec<ChannelName> {
    let mut seen = HashSet::new();
    channels.into_iter().filter(|channel| seen.insert(channel.clone())).collect()
}

/// Issues the site token, or the individual token of `user`.
async fn issue(
    session: &Session<'_>,
    org: &str,
    user: Option<&str>,
    grace: Duration,
    output: Output,
) -> anyhow::Result<()> {
    session.organization(org).await?;
    let now = session.now();
    if let Some(living) = session.store.living_token(org, user, now).await? {
        let when = if grace.is_zero() { "at once".to_owned() } else { format!("on {}", now.plus(grace)) };
        session.confirm(&format!("The {living} will stop working {when}"))?;
    }
    let token = user.map_or_else(|| NewToken::site(org), |user| NewToken::individual(org, user));
    let minted = Minted::random()?;
    let Issued { record, replaced } =
        session.store.insert_token(&token, &minted.digest(), &session.by, now, grace).await?;
    if let Some(previous) = replaced {
        let end = previous.end.as_ref().map_or(now, |end| end.at);
        tell(format_args!("It replaces the {previous}, which stops working on {end}."));
    }
    deliver(session, output, &record, minted.expose())
}

async fn sync(session: &Session<'_>, org: &str, which: &Which, output: Output) -> anyhow::Result<()> {
    session.organization(org).await?;
    let mut synced = Vec::new();
    let mut rest = Some(which.clone());
    while let Some(which) = rest {
        let page = session.store.sync_tokens(org, &which, &session.by, session.now()).await?;
        synced.extend(page.synced);
        rest = page.next;
    }
    for Synced { record, before } in &synced {
        let until = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| format!("on {at}"));
        let (before, now) = (until(*before), until(record.expires_at));
        tell(format_args!("The {record} expires {now}; before, it was {before}."));
    }
    if synced.is_empty() {
        tell("No living token's expiry differs from what the subscription gives; nothing was changed.");
    }
    let views: Vec<_> = synced.iter().map(|synced| SyncedView::new(synced, session.now())).collect();
    if output.json { output::print(output, &views, |_| String::new()) } else { Ok(()) }
}

async fn all(session: &Session<'_>, org: &str) -> anyhow::Result<Vec<Listed>> {
    session.organization(org).await?;
    let mut tokens: Vec<Listed> = Vec::new();
    loop {
        let page = session.store.tokens(org, tokens.last().map(|last| last.record.id), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        tokens.extend(page);
        if is_last {
            return Ok(tokens);
        }
    }
}

/// The living tokens that end within this time, the soonest first.
async fn expiring_within(
    session: &Session<'_>,
    org: &str,
    within: Duration,
    now: Timestamp,
) -> anyhow::Result<Vec<Listed>> {
    session.organization(org).await?;
    let mut tokens: Vec<Listed> = Vec::new();
    loop {
        let last = tokens.last().and_then(|last| Some((last.record.ends_at()?, last.record.id)));
        let page = session.store.expiring_tokens(org, now.plus(within), last, PAGE, now).await?;
        let is_last = page.len() < PAGE as usize;
        tokens.extend(page);
        if is_last {
            return Ok(tokens);
        }
    }
}

async fn list(
    session: &Session<'_>,
    org: &str,
    expiring: Option<Duration>,
    output: Output,
) -> anyhow::Result<()> {
    let now = session.now();
    let tokens = match expiring {
        None => all(session, org).await?,
        Some(within) => expiring_within(session, org, within, now).await?,
    };
    let views: Vec<_> =
        tokens.iter().map(|token| TokenView::new(&token.record, now).with_use(&token.last_use)).collect();
    output::print(output, &views, |views| token_table(views))
}

async fn find(session: &Session<'_>, id: TokenId) -> anyhow::Result<TokenRecord> {
    let found = session.store.token(id).await?;
    found.with_context(|| {
        format!("there is no token with the id {id}; `channelgate token list ORG` shows them")
    })
}

async fn find_by_name(session: &Session<'_>, org: &str, name: &str) -> anyhow::Result<TokenRecord> {
    session.organization(org).await?;
    let found = session.store.token_by_name(org, name).await?;
    found.with_context(|| {
        format!(
            "organization \"{org}\" has no token named \"{name}\"; `channelgate token list {org}` shows them"
        )
    })
}

async fn revoke(
    session: &Session<'_>,
    record: &TokenRecord,
    reason: Option<String>,
    output: Output,
) -> anyhow::Result<()> {
    let now = session.now();
    if record.state(now) == TokenState::Live {
        session.confirm(&format!("The {record} will be revoked"))?;
    }
    let end = End { cause: EndCause::Revoked, at: now, reason };
    let ended = session.store.end_token(record.id, &end, &session.by, now).await?;
    if ended.was_dead {
        tell(format_args!("The {} did not serve any more; nothing was changed.", ended.record));
    } else {
        tell(format_args!("The {} is revoked.", ended.record));
    }
    if output.json { show(session, output, &ended.record).await } else { Ok(()) }
}

async fn verify(session: &Session<'_>, output: Output) -> anyhow::Result<()> {
    let value = read_line("the token's value")?;
    let secret = Secret::new(value.as_bytes());
    let record = if secret.is_plausible() {
        session.store.token_by_digest(&secret.digest()).await?.standing.map(|standing| standing.token)
    } else {
        None
    };
    if let Some(record) = record {
        return show(session, output, &record).await;
    }
    let unknown = UnknownTokenView::new(secret.is_plausible());
    output::print(output, &unknown, |unknown| format!("{}\n{}\n", unknown.state, unknown.detail))
}

async fn show(session: &Session<'_>, output: Output, record: &TokenRecord) -> anyhow::Result<()> {
    let last_use = session.store.last_use(record.id).await?;
    let view = TokenView::new(record, session.now()).with_use(&last_use);
    output::print(output, &view, TokenView::to_text)
}

/// Prints a new token: its value alone on standard output, the words about it on standard error.
fn deliver(session: &Session<'_>, output: Output, record: &TokenRecord, value: &str) -> anyhow::Result<()> {
    if !output.json {
        let until = match record.expires_at {
            None => "does not expire".to_owned(),
            Some(at) => format!("expires on {at}"),
        };
        tell(format_args!("The {record} {until}. Its value is shown only now:"));
    }
    let view = TokenView::new(record, session.now()).with_value(value);
    output::deliver(output, &view, |_| format!("{value}\n")).with_context(|| {
        format!(
            "the {record} was made, but its value could not be written to standard output and is lost; \
             `channelgate token revoke {}` ends it",
            record.id
        )
    })
}
