//! `channelgate token …`.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;

use super::UsageError;
use super::args::{Expiry, Output, TokenCommand};
use super::output::{self, tell};
use super::session::{Session, read_line};
use super::view::{TokenView, token_table};
use crate::conda::ChannelName;
use crate::config::Config;
use crate::store::{Issued, NewToken, Purpose};
use crate::token::{
    End, EndCause, Minted, Scope, Scopes, Secret, TokenDigest, TokenId, TokenKind, TokenRecord, TokenState,
    is_importable,
};

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, and what nobody confirmed.
pub(super) async fn run(command: TokenCommand, session: &Session<'_>) -> anyhow::Result<()> {
    match command {
        TokenCommand::Issue { org, site: _, grace, output } => issue_site(session, &org, grace, output).await,
        TokenCommand::Create { org, name, scopes, channels, expiry, output } => {
            let minted = Minted::random()?;
            let wish = Wish { org, name, scopes, channels, expiry };
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
            let wish = Wish { org, name, scopes, channels, expiry };
            let record = insert_scoped(session, wish, &TokenDigest::of(value.as_bytes())).await?;
            show(session, output, &record)
        }
        TokenCommand::List { org, output } => list(session, &org, output).await,
        TokenCommand::Show { id, output } => show(session, output, &find(session, TokenId(id)).await?),
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
    expiry: Expiry,
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
        warn_of_closed_channel(session.config, &wish.org, channel);
    }
    let token = NewToken {
        organization: wish.org,
        purpose: Purpose::Scoped { name: wish.name },
        scopes: wish.scopes,
        channels: channels.map(|names| names.iter().map(ChannelName::to_string).collect()),
        expires_at: Some(wish.expiry.after(now).map_err(UsageError)?),
    };
    Ok(session.store.insert_token(&token, digest, now, Duration::ZERO).await?.record)
}

fn without_repetition(channels: Vec<ChannelName>) -> Vec<ChannelName> {
    let mut seen = HashSet::new();
    channels.into_iter().filter(|channel| seen.insert(channel.clone())).collect()
}

/// A channel may be configured, or opened to an organization, after the token was made; but a typing mistake makes a token that opens
/// nothing, so it is told.
fn warn_of_closed_channel(config: &Config, org: &str, name: &ChannelName) {
    match config.channels.iter().find(|channel| channel.rules.name == *name) {
        Some(channel) if channel.rules.admits(org) => {}
        Some(_) => tell(format_args!(
            "channelgate: channel \"{name}\" is not open to organization \"{org}\": until its `orgs` names it, the token cannot read it"
        )),
        None => {
            let names: Vec<_> = config.channels.iter().map(|channel| channel.rules.name.as_str()).collect();
            let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            tell(format_args!(
                "channelgate: there is no channel \"{name}\" in the configuration ({known}): until there is, the token cannot read it"
            ));
        }
    }
}

async fn issue_site(session: &Session<'_>, org: &str, grace: Duration, output: Output) -> anyhow::Result<()> {
    let organization = session.organization(org).await?;
    let now = session.now();
    if let Some(living) = living_site_token(session, org).await? {
        let when = if grace.is_zero() { "at once".to_owned() } else { format!("on {}", now.plus(grace)) };
        session.confirm(&format!("The {living} will stop working {when}"))?;
    }
    let minted = Minted::random()?;
    let token = NewToken {
        organization: org.to_owned(),
        purpose: Purpose::Site,
        scopes: Scopes::of(&[Scope::Repos]),
        channels: None,
        expires_at: organization.subscription.token_expiry(),
    };
    let Issued { record, replaced } =
        session.store.insert_token(&token, &minted.digest(), now, grace).await?;
    if let Some(previous) = replaced {
        let end = previous.end.as_ref().map_or(now, |end| end.at);
        tell(format_args!("It replaces the {previous}, which stops working on {end}."));
    }
    if record.state(now) != TokenState::Live {
        tell(format_args!(
            "channelgate: the subscription of organization \"{org}\" is over for so long that its tokens have expired: this one opens nothing"
        ));
    }
    deliver(session, output, &record, minted.expose())
}

async fn living_site_token(session: &Session<'_>, org: &str) -> anyhow::Result<Option<TokenRecord>> {
    let now = session.now();
    let tokens = all(session, org).await?;
    let replaced = |token: &TokenRecord| token.end.is_some();
    Ok(tokens.into_iter().find(|token| {
        token.kind == TokenKind::Site && token.state(now) == TokenState::Live && !replaced(token)
    }))
}

/// How many tokens are read at once.
const PAGE: u32 = 1_000;

async fn all(session: &Session<'_>, org: &str) -> anyhow::Result<Vec<TokenRecord>> {
    session.organization(org).await?;
    let mut tokens: Vec<TokenRecord> = Vec::new();
    loop {
        let page = session.store.tokens(org, tokens.last().map(|last| last.id), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        tokens.extend(page);
        if is_last {
            return Ok(tokens);
        }
    }
}

async fn list(session: &Session<'_>, org: &str, output: Output) -> anyhow::Result<()> {
    let tokens = all(session, org).await?;
    let views: Vec<_> = tokens.iter().map(|token| TokenView::new(token, session.now())).collect();
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
    let found = session.store.token_by_name(org, name, session.now()).await?;
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
    let ended = session.store.end_token(record.id, &end, now).await?;
    if ended.was_dead {
        tell(format_args!("The {} did not serve any more; nothing was changed.", ended.record));
    } else {
        tell(format_args!("The {} is revoked.", ended.record));
    }
    if output.json { show(session, output, &ended.record) } else { Ok(()) }
}

async fn verify(session: &Session<'_>, output: Output) -> anyhow::Result<()> {
    let value = read_line("the token's value")?;
    let secret = Secret::new(value.as_bytes());
    let record = if secret.is_plausible() {
        session.store.token_by_digest(&secret.digest()).await?.record
    } else {
        None
    };
    if let Some(record) = record {
        return show(session, output, &record);
    }
    let detail = if secret.is_plausible() {
        "This gate has not issued this token."
    } else {
        "This cannot be a token of this gate: its form or checksum is wrong. Was it copied whole?"
    };
    let unknown = serde_json::json!({ "state": "unknown", "detail": detail });
    output::print(output, &unknown, |_| format!("unknown\n{detail}\n"))
}

fn show(session: &Session<'_>, output: Output, record: &TokenRecord) -> anyhow::Result<()> {
    output::print(output, &TokenView::new(record, session.now()), TokenView::to_text)
}

/// Prints a new token: its value alone on standard output, the words about it on standard error.
fn deliver(session: &Session<'_>, output: Output, record: &TokenRecord, value: &str) -> anyhow::Result<()> {
    if !output.json {
        let until = match record.expires_at {
            None => "does not expire".to_owned(),
            Some(at) if at > session.now() => format!("expires on {at}"),
            Some(at) => format!("expired on {at}"),
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
