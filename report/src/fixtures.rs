//! The reports that the tests of all renderings share. Every time, id and text is fixed.

mod composites;

use std::collections::BTreeMap;
use std::time::Duration;

use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::{Assertion, Failure};
use rfx_schemas::plan::{About, Phase};
use rfx_schemas::report::{
    Anomalies, AttemptReport, CallReport, Detail, JobReport, Report, SCHEMA, StepReport,
};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::json;

pub(crate) use composites::composites;

/// Noon of the fixtures, in microseconds.
const START: i64 = 1_764_158_400_000_000;

/// What a hostile function prints, names and returns.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script> & \"quoted\" ]]> `ticks` | pipe \u{1b}[31mred\u{1b}[0m \
     \u{1b}]0;title\u{7}\0\u{8}\u{fffe}\u{202e}\u{fffd} <img src=x onerror=alert(1)>\n```\n</pre></details>\ttab\r\nend";

/// Every report that each rendering must manage.
pub(crate) fn table() -> Vec<(&'static str, Report)> {
    vec![
        ("every verdict", every_verdict()),
        ("failed", failed()),
        ("running", running()),
        ("empty", report(Verdict::Skipped, Vec::new())),
        ("many", many(300, 40)),
        ("composites", composites()),
        ("calls", calls()),
        ("hostile composites", composites::hostile()),
    ]
}

/// A run cut short, with a job of each verdict.
pub(crate) fn every_verdict() -> Report {
    let steps = vec![
        step("tenant", Phase::Setup, "tenants.create@3", vec![passed(0, 0, None, 2, 82)]),
        step("device", Phase::Main, "devices.populate@7", devices()),
        step("apps", Phase::Main, "apps.push@2", vec![passed(2, 0, None, 90, 900)]),
        skipped(step("evaluate", Phase::Main, "vulnerabilities.evaluate@1", Vec::new())),
        step("drop", Phase::Teardown, "tenants.delete@3", vec![passed(4, 0, None, 2_600, 61)]),
    ];
    let mut report = report(Verdict::Cancelled, steps);
    report.cancelled = Some("SIGTERM from <ci>".into());
    report.anomalies = Anomalies { duplicate_outcomes: 1, redelivered: 2, unreadable: 0 };
    report.outputs = Some(json!({ "report": { "os": 2, "apps": ["openssl"] } }));
    report
}

/// A run with one failed job, as a user meets it.
pub(crate) fn failed() -> Report {
    let jobs = vec![passed(0, 0, Some("eu-1"), 3, 120), differs(0, 1, "eu-2", 140)];
    report(Verdict::Failed, vec![step("evaluate", Phase::Main, "vulnerabilities.evaluate@1", jobs)])
}

/// A run whose jobs called others and left something behind.
pub(crate) fn calls() -> Report {
    let mut report = report(
        Verdict::Error,
        vec![step("device", Phase::Main, "devices.populate@7", vec![passed(0, 0, Some("web-01"), 3, 400)])],
    );
    let call = |number: u32, path: &str, uses: &str, attempts: Vec<AttemptReport>| CallReport {
        job: JobId { step: number, item: 0 },
        path: format!("steps.device/{path}"),
        caller: JobId { step: 0, item: 0 },
        attempt: Attempt::FIRST,
        key: Some("web-01".into()),
        uses: uses.into(),
        group: "aws-eu1".into(),
        queue: "main".into(),
        verdict: attempts.last().map(|last| Verdict::of_job(last.kind, last.attempt.get())),
        leak: None,
        input: None,
        attempts,
    };
    let no = fault("AssertionError", "the host is <taken>");
    report.steps[0].calls = vec![
        call(
            1,
            "call-1 hosts.register",
            "hosts.register@2",
            vec![attempt(1, OutcomeKind::Passed, 10, 90, None)],
        ),
        call(
            2,
            "call-2 hosts.register",
            "hosts.register@2",
            vec![attempt(1, OutcomeKind::Failed, 110, 60, Some(no))],
        ),
        call(4, "call-2/call-1 hosts.find", "hosts.find", Vec::new()),
    ];
    let busy = || Some(fault("ApiError", "the tenant is in use"));
    let mut leak = call(
        3,
        "undo-1 tenants.delete",
        "tenants.delete@3",
        (1..=3).map(|n| attempt(n, OutcomeKind::Error, 500 + 1_000 * i64::from(n), 8, busy())).collect(),
    );
    leak.leak = Some("ApiError: the tenant is in use".into());
    leak.input = Some(json!({ "id": "t-1", "name": HOSTILE }));
    let undone = call(
        5,
        "undo-2 hosts.delete",
        "hosts.delete@2",
        vec![attempt(1, OutcomeKind::Passed, 420, 30, None)],
    );
    report.undos = vec![leak, undone];
    report
}

/// A run that goes on: one job waits for its first outcome.
pub(crate) fn running() -> Report {
    let waiting = job(0, 1, Some("eu-2"), None, Vec::new());
    let mut step = step(
        "evaluate",
        Phase::Main,
        "vulnerabilities.evaluate@1",
        vec![passed(0, 0, None, 3, 120), waiting],
    );
    step.verdict = None;
    let mut report = report(Verdict::Passed, vec![step]);
    (report.verdict, report.exit_code, report.finished) = (None, None, None);
    report
}

/// A step with `all` jobs of which the last `broken` failed, each with its evidence.
pub(crate) fn many(all: u32, broken: u32) -> Report {
    let job = |item: u32| {
        let at = i64::from(item % 1_000);
        let name = format!("host-{item:06}");
        if item < all - broken { passed(0, item, Some(&name), at, 40) } else { differs(0, item, &name, at) }
    };
    report(
        Verdict::Failed,
        vec![step("device", Phase::Main, "devices.populate@7", (0..all).map(job).collect())],
    )
}

fn devices() -> Vec<JobReport> {
    let mut lost =
        attempt(1, OutcomeKind::Lost, 100, 0, Some(fault("unserved", "no worker of aws-eu1 serves it")));
    lost.worker = "publisher-1".into();
    let skip = fault("Skip", "the host has no agent");
    vec![
        passed(1, 0, Some("web-01"), 91, 320),
        flaky(),
        differs(1, 2, "web-03", 95),
        raises(),
        job(1, 4, Some("web-05"), Some(Verdict::Lost), vec![lost]),
        one(1, 5, "web-06", attempt(1, OutcomeKind::Skipped, 97, 12, Some(skip))),
        one(
            1,
            6,
            "web-07",
            attempt(1, OutcomeKind::Cancelled, 98, 1_400, Some(fault("cancelled", "SIGTERM"))),
        ),
        hostile(),
    ]
}

/// A job that passed at its second attempt.
fn flaky() -> JobReport {
    let mut late = fault("TimedOut", "the attempt ran longer than 1 s");
    late.tail = "waiting for the device\nwaiting for the device\n".into();
    let mut first = attempt(1, OutcomeKind::Error, 92, 1_000, Some(late));
    first.deliveries = 2;
    job(
        1,
        1,
        Some("web-02"),
        Some(Verdict::Flaky),
        vec![first, attempt(2, OutcomeKind::Passed, 2_100, 310, None)],
    )
}

/// A job that failed by its assertions.
fn differs(step: u32, item: u32, key: &str, at: i64) -> JobReport {
    let detail = Detail {
        error: Some(Failure {
            kind: "AssertionError".into(),
            message: "2 findings, expected 3".into(),
            traceback: Some("Traceback (most recent call last):\n  File \"devices.py\", line 41, in populate\n    assert found == expected\nAssertionError: 2 findings, expected 3\n".into()),
            diff: Some("--- expected\n+++ seen\n@@ -1,4 +1,3 @@\n [\n   \"openssl\",\n-  \"curl\",\n   \"zlib\"\n+  \"zlib-ng\"\n ]\n".into()),
        }),
        assertions: vec![
            compared("output.os > 0", true, Some("> 0"), Some("4"), None),
            compared("output.apps.size() == 3", false, Some("3"), Some("2"), Some("curl is missing")),
            compared("output.owner == inputs.owner", false, None, None, None),
        ],
        input: Some(json!({ "host": key, "apps": ["openssl", "curl", "zlib"] })),
        output: Some(json!({ "os": 4, "apps": ["openssl", "zlib-ng"] })),
        tail: "populating\n2 of 3 applications pushed\n".into(),
        artifacts: Vec::new(),
    };
    one(step, item, key, attempt(1, OutcomeKind::Failed, at, 410, Some(detail)))
}

/// A job that ended in an exception, twice.
fn raises() -> JobReport {
    let detail = |at: &str| {
        let mut detail = fault("ConnectionError", &format!("api refused the connection at {at}"));
        let trace =
            "Traceback (most recent call last):\n  File \"devices.py\", line 17, in push\nConnectionError\n";
        detail.error.as_mut().unwrap().traceback = Some(trace.into());
        detail
    };
    let attempts = vec![
        attempt(1, OutcomeKind::Error, 96, 30, Some(detail("12:00:00"))),
        attempt(2, OutcomeKind::Error, 1_130, 28, Some(detail("12:00:01"))),
    ];
    job(1, 3, Some("web-04"), Some(Verdict::Error), attempts)
}

/// A job all of whose texts try to break out.
fn hostile() -> JobReport {
    let detail = Detail {
        error: Some(Failure {
            kind: HOSTILE.into(),
            message: HOSTILE.into(),
            traceback: Some(HOSTILE.into()),
            diff: Some(format!("--- a\n+++ b\n@@ -1 +1 @@\n-{HOSTILE}\n+{}", "long".repeat(5_000))),
        }),
        assertions: vec![compared(HOSTILE, false, Some(HOSTILE), Some(HOSTILE), Some(HOSTILE))],
        input: Some(json!({ HOSTILE: HOSTILE })),
        output: Some(json!(HOSTILE)),
        tail: format!("{HOSTILE}\n{}", "x".repeat(30_000)),
        artifacts: Vec::new(),
    };
    let mut attempt = attempt(1, OutcomeKind::Failed, 99, 55, Some(detail));
    attempt.worker = HOSTILE.into();
    one(1, 7, HOSTILE, attempt)
}

fn compared(
    label: &str,
    passed: bool,
    expected: Option<&str>,
    seen: Option<&str>,
    message: Option<&str>,
) -> Assertion {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Assertion {
        label: label.into(),
        passed,
        expected: owned(expected),
        seen: owned(seen),
        message: owned(message),
    }
}

fn fault(kind: &str, message: &str) -> Detail {
    Detail { error: Some(Failure::new(kind, message)), ..Detail::default() }
}

/// An attempt released `at` ms into the run, started 4 ms later, that ran for `ran` ms.
fn attempt(number: u32, kind: OutcomeKind, at: i64, ran: i64, detail: Option<Detail>) -> AttemptReport {
    let stamp = |ms: i64| Stamp::from_micros(START + ms * 1_000);
    AttemptReport {
        attempt: Attempt::new(number).unwrap(),
        kind,
        worker: "worker-a1".into(),
        released: stamp(at),
        started: stamp(at + 4),
        ended: stamp(at + 4 + ran),
        deliveries: 1,
        digest: None,
        detail: detail.map(Box::new),
    }
}

fn passed(step: u32, item: u32, key: Option<&str>, at: i64, ran: i64) -> JobReport {
    job(step, item, key, Some(Verdict::Passed), vec![attempt(1, OutcomeKind::Passed, at, ran, None)])
}

fn one(step: u32, item: u32, key: &str, attempt: AttemptReport) -> JobReport {
    job(step, item, Some(key), Some(Verdict::of_job(attempt.kind, 1)), vec![attempt])
}

fn job(
    step: u32,
    item: u32,
    key: Option<&str>,
    verdict: Option<Verdict>,
    attempts: Vec<AttemptReport>,
) -> JobReport {
    JobReport {
        job: JobId { step, item },
        key: key.map(Into::into),
        verdict,
        reason: None,
        unmet: 0,
        attempts,
    }
}

fn step(name: &str, phase: Phase, uses: &str, jobs: Vec<JobReport>) -> StepReport {
    let mut counts = Counts::default();
    jobs.iter().filter_map(|job| job.verdict).for_each(|verdict| counts.add(verdict));
    let mut step = StepReport {
        name: name.into(),
        path: format!("{}.{name}", phase.key()),
        phase,
        parent: None,
        uses: uses.into(),
        extends: Vec::new(),
        composite: false,
        about: About::default(),
        group: if phase == Phase::Main { "aws-eu1".into() } else { "local".into() },
        queue: if name == "apps" { "high".into() } else { "main".into() },
        verdict: Some(counts.verdict()),
        reason: None,
        allowed: false,
        counts,
        duration: Duration::ZERO,
        jobs,
        calls: Vec::new(),
    };
    step.duration = crate::pick::span(&step).map_or(Duration::ZERO, |(from, to)| to.since(from));
    step
}

fn skipped(mut step: StepReport) -> StepReport {
    step.reason = Some("steps.device did not pass".into());
    step
}

fn report(verdict: Verdict, steps: Vec<StepReport>) -> Report {
    let mut counts = Counts::default();
    steps.iter().filter(|step| !step.composite).for_each(|step| counts.merge(&step.counts));
    let submitted = Stamp::from_micros(START);
    let last = steps.iter().filter_map(crate::pick::span).map(|(_, to)| to).max().unwrap_or(submitted);
    Report {
        schema: SCHEMA,
        run: "019abf5e-6c00-7000-8000-000000000001".parse().unwrap(),
        flow: "host_vulnerabilities".into(),
        description: "A host with OS and application vulnerabilities is evaluated.".into(),
        about: About::default(),
        breaches: Vec::new(),
        unmade: Vec::new(),
        verdict: Some(verdict),
        exit_code: Some(if verdict == Verdict::Cancelled { 5 } else { 1 }),
        counts,
        by: "ci@example".into(),
        submitted,
        finished: Some(last),
        duration: last.since(submitted),
        trace: "019abf5e6c0070008000000000000001".into(),
        cancelled: None,
        target: BTreeMap::from([("api".into(), "http://127.0.0.1:8080".into())]),
        inputs: BTreeMap::from([
            ("hosts".into(), json!(["web-01", "web-02"])),
            ("owner".into(), json!("ops")),
        ]),
        data: BTreeMap::from([("hosts".into(), "data/hosts.csv".into())]),
        outputs: None,
        anomalies: Anomalies::default(),
        steps,
        undos: Vec::new(),
    }
}
