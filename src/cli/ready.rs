//! `channelgate check --ready`: asks a running gate, so that a container's health check needs no other program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::UsageError;
use super::args::Output;
use super::output;
use crate::config::Config;

/// How long the gate may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exit status 0 if the gate of this configuration is ready for traffic, 1 if not.
///
/// # Errors
///
/// It does not answer.
pub(super) async fn run(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let address = reachable(config.admin.address);
    if address.port() == 0 {
        let problem =
            "admin.address has port 0, so the gate chooses its port when it starts: give it one to ask at";
        return Err(UsageError(problem.to_owned()).into());
    }
    let answer = tokio::time::timeout(PATIENCE, ask(address))
        .await
        .with_context(|| format!("the admin plane at {address} does not answer"))?
        .with_context(|| format!("the admin plane at {address} cannot be asked"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let readiness: Option<Readiness> = serde_json::from_str(body).ok();
    let Some(readiness) = readiness else {
        let status = head.lines().next().unwrap_or_default();
        bail!(
            "what listens at {address} does not say whether it is ready, but {status:?}: is it a channelgate's admin plane?"
        );
    };
    output::print(output, &readiness, Readiness::to_text)?;
    Ok(if readiness.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `/readyz` says.
#[derive(Debug, Deserialize, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not, or why only just.
    reasons: Vec<String>,
}

impl Readiness {
    fn to_text(&self) -> String {
        let reasons: String = self.reasons.iter().map(|reason| format!("{reason}\n")).collect();
        format!("{}\n{reasons}", if self.ready { "ready" } else { "not ready" })
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    connection.take(64 * 1024).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Where to reach what listens on `address`: the unspecified address is not one to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
