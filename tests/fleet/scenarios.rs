//! What fails, and what it is allowed to cost.

use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use crate::fleet::{Fleet, GATES, MAX_STALENESS, OUTAGE_GRACE};
use crate::line::Condition;
use crate::load::{Answer, Load, Token};
use crate::support::postgres::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gates_accept_no_revoked_token_beyond_the_bound_and_refuse_no_valid_one() {
    let fleet = Fleet::start().await;
    let mut rows = Vec::new();
    let all = 0..REVOCATIONS;

    let run = Run::begin(&fleet, "healthy", [MAX_STALENESS; GATES]).await;
    run.revoke(all.clone()).await;
    rows.push(run.end().await);

    let run = Run::begin(&fleet, "notifications lost", [MAX_STALENESS; GATES]).await;
    fleet.turn(Condition::Mute);
    run.revoke(all.clone()).await;
    rows.push(run.end().await);
    fleet.turn(Condition::Whole);

    let bounds = [OUTAGE_GRACE, MAX_STALENESS, MAX_STALENESS];
    let mut run = Run::begin(&fleet, "one gate partitioned", bounds).await;
    fleet.lines[0].turn(Condition::Silent);
    let from = Instant::now();
    run.revoke(all.clone()).await;
    sleep((OUTAGE_GRACE + MAX_STALENESS).saturating_sub(from.elapsed())).await;
    run.dark = Some((0, from + OUTAGE_GRACE, Instant::now()));
    fleet.lines[0].turn(Condition::Whole);
    rows.push(run.end().await);

    let mut run = Run::begin(&fleet, "one gate stopped and continued", [MAX_STALENESS; GATES]).await;
    fleet.gates[1].signal(Signal::STOP);
    run.stopped = Some(1);
    // What it decided before, it decided before any of the acknowledgements.
    sleep(Duration::from_millis(50)).await;
    run.revoke(all.clone()).await;
    sleep(MAX_STALENESS).await;
    fleet.gates[1].signal(Signal::CONT);
    rows.push(run.end().await);

    let third = REVOCATIONS / 3;
    let run = Run::begin(&fleet, "database killed and restarted", [OUTAGE_GRACE; GATES]).await;
    run.revoke(0..third).await;
    fleet.cluster.kill();
    sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| fleet.cluster.resume());
    run.revoke(third..REVOCATIONS).await;
    rows.push(run.end().await);

    let standby = tokio::task::block_in_place(|| synchronous_standby(&fleet.cluster));
    let run = Run::begin(&fleet, "standby promoted", [OUTAGE_GRACE; GATES]).await;
    run.revoke(0..third).await;
    fleet.cluster.kill();
    tokio::task::block_in_place(|| standby.promote());
    fleet.lead_to(standby.address());
    run.revoke(third..REVOCATIONS).await;
    rows.push(run.end().await);

    let status = tokio::task::block_in_place(|| fleet.places[0].must_json(&["fleet", "status"]));
    let states: Vec<_> =
        status.as_array().unwrap().iter().map(|gate| (&gate["name"], &gate["state"])).collect();
    assert_eq!(states.len(), GATES, "{status:#}");

    // Past the harness, which keeps what a test says to itself.
    let _ = std::io::stderr().lock().write_all(table(&rows).as_bytes());
    for row in &rows {
        assert!(row.revocations >= 200 && row.requests > 1_000, "{row:?}");
        assert_eq!((row.refused_falsely, row.served_beyond), (0, 0), "{row:?}");
    }
}

/// A scenario on its way.
struct Run<'f> {
    fleet: &'f Fleet,
    name: &'static str,
    /// Of each gate: how long after its revocation was acknowledged it may serve a token.
    bounds: [Duration; GATES],
    /// The gate that was stopped before the first revocation: it must serve nothing once it goes on, however soon after the acknowledgement
    /// the request came.
    stopped: Option<usize>,
    /// The gate that reached no store for so long that it must serve nobody, and when.
    dark: Option<(usize, Instant, Instant)>,
    dying: Arc<[Token]>,
    load: Load,
}

impl<'f> Run<'f> {
    async fn begin(fleet: &'f Fleet, name: &'static str, bounds: [Duration; GATES]) -> Self {
        let mut living = Vec::new();
        for number in 0..LIVING {
            living.push(fleet.token(&format!("{name}, living {number}")).await);
        }
        let mut dying = Vec::new();
        for number in 0..REVOCATIONS {
            dying.push(fleet.token(&format!("{name}, dying {number}")).await);
        }
        let dying: Arc<[Token]> = dying.into();
        let load = Load::begin(&fleet.addresses(), living, Arc::clone(&dying)).await;
        Self { fleet, name, bounds, stopped: None, dark: None, dying, load }
    }

    async fn revoke(&self, range: Range<usize>) {
        for number in range {
            self.fleet.revoke(&self.dying[number]).await;
            self.load.revoked(number + 1);
            sleep(PACE).await;
        }
    }

    /// Waits until all is well again, and for a while longer.
    async fn end(self) -> Row {
        self.fleet.serves(self.load.living()).await;
        sleep(MAX_STALENESS).await;
        let Self { name, bounds, stopped, dark, dying, load, .. } = self;
        let answers = load.end().await;
        let is_beyond = |answer: &Answer| {
            let in_the_dark = dark.is_some_and(|(gate, from, until)| {
                answer.gate == gate && answer.status == 200 && (from..until).contains(&answer.began)
            });
            in_the_dark
                || answer.late(&dying).is_some_and(|(began, ended)| {
                    let late = if stopped == Some(answer.gate) { ended } else { began };
                    late > bounds[answer.gate]
                })
        };
        let count = |is_so: &dyn Fn(&Answer) -> bool| answers.iter().filter(|answer| is_so(answer)).count();
        let mut lates = vec![Duration::ZERO; dying.len()];
        for answer in &answers {
            if let (Some(token), Some((late, _))) = (answer.token, answer.late(&dying)) {
                lates[token] = lates[token].max(late);
            }
        }
        lates.sort();
        Row {
            name,
            revocations: dying.len(),
            requests: answers.len(),
            median: lates[lates.len() / 2],
            latest: *lates.last().unwrap(),
            bound: *bounds.iter().max().unwrap(),
            refused_falsely: count(&|answer| answer.is_false(&dying)),
            served_beyond: count(&is_beyond),
            unavailable: count(&|answer| answer.status == 503),
        }
    }
}

/// What a scenario came to.
#[derive(Debug)]
struct Row {
    name: &'static str,
    revocations: usize,
    requests: usize,
    /// Of all revocations: when the last request began that was served, after the acknowledgement.
    median: Duration,
    latest: Duration,
    bound: Duration,
    /// 401, 403 or 404 for a valid token.
    refused_falsely: usize,
    /// 200 for a revoked token beyond the bound.
    served_beyond: usize,
    /// 503.
    unavailable: usize,
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| scenario | revocations | requests | last 200 after the acknowledgement: p50 | p100 | bound | 401/403/404 for valid tokens | 200 beyond the bound | 503 |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let Row { name, revocations, requests, refused_falsely, served_beyond, unavailable, .. } = row;
        let millis = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1_000.0);
        let (median, latest, bound) = (millis(row.median), millis(row.latest), row.bound);
        writeln!(
            text,
            "| {name} | {revocations} | {requests} | {median} | {latest} | {bound:?} | {refused_falsely} | {served_beyond} | {unavailable} |"
        )
        .unwrap();
    }
    text
}

/// A standby that has every change before it is acknowledged.
fn synchronous_standby(cluster: &Cluster) -> Cluster {
    let standby = cluster.standby();
    cluster.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    standby
}

const REVOCATIONS: usize = 210;
const LIVING: usize = 8;

/// Between two revocations.
const PACE: Duration = Duration::from_millis(12);
