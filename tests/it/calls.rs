//! Calls and undos on a real server: what a worker, a driver and a cancel may do to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rfx_report::json;
use rfx_schemas::outcome::Failure;
use rfx_schemas::report::{CallReport, Report};
use rfx_schemas::verdict::Verdict;
use rfx_tests::eventually;
use rfx_tests::process::Ran;
use rfx_tests::world::World;

use crate::cases::{assert_case, table};
use crate::own_worker::{Seen, worker};

/// Runs a flow to its end.
async fn run(world: &World, flow: &str) -> (Ran, Report) {
    let path = world.file("flow.yaml", flow).display().to_string();
    let dir = world.dir().join("report");
    let ran = world.publish(["run", &path, "--report", dir.to_str().expect("a plain path")]).await;
    let bytes = std::fs::read(dir.join("report.json")).unwrap_or_else(|e| panic!("{e}: {}", ran.stderr));
    (ran, json::read(&bytes).expect("a report"))
}

fn error(report: &Report) -> Option<Failure> {
    let attempt = report.steps[0].jobs[0].attempts.last()?;
    attempt.detail.as_ref()?.error.clone()
}

fn verdicts(calls: &[CallReport]) -> Vec<String> {
    let verdict = |call: &CallReport| call.verdict.map_or("none", Verdict::as_str);
    calls.iter().map(|call| format!("{} {}", call.path, verdict(call))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_calls_ends_as_the_table_says() {
    let world = World::new().await;
    let _worker = worker(&world, 8, &Arc::default()).await;
    for case in table::calls() {
        let dir = world.dir().join(format!("report-{}", case.name));
        let mut command = world.command("rfx-publish");
        command.arg("run").arg(&case.path).arg("--report").arg(&dir);
        let ran = rfx_tests::process::run(command).await;
        assert_case(&case, ran.code, &dir, &format!("{}{}", ran.stdout, ran.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_one_slot_full_of_callers_does_not_stand_still() {
    let world = World::new().await;
    let seen = Arc::<Seen>::default();
    let _worker = worker(&world, 1, &seen).await;
    let flow = "flow: x\nsteps:\n  a: { uses: t.parent, repeat: { count: 20 }, with: { calls: 3, ms: 2 } }\n";
    let (ran, report) = run(&world, flow).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(report.counts.passed, 20, "calls are not counted");
    assert_eq!(report.steps[0].calls.len(), 60);
    assert_eq!((seen.leaves.load(Ordering::SeqCst), seen.most.load(Ordering::SeqCst)), (60, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_executed_again_gets_what_its_calls_came_to() {
    let mut world = World::new().await;
    let seen = Arc::<Seen>::default();
    let first = worker(&world, 2, &seen).await;
    let flow = "flow: x\nsteps:\n  a: { uses: t.parent, with: { calls: 2, hold: true } }\n";
    let path = world.file("flow.yaml", flow).display().to_string();
    let mut client = world.start("rfx-publish", ["run", &path]);
    eventually("its calls have come back", async || (seen.back.load(Ordering::SeqCst) == 1).then_some(()))
        .await;
    drop(first);
    let _second = worker(&world, 2, &seen).await;
    eventually("it was executed again", async || (seen.back.load(Ordering::SeqCst) == 2).then_some(())).await;
    seen.go_on.notify_waiters();
    seen.go_on.notify_one();
    let status = client.ended().await;
    assert_eq!(status.code(), Some(0), "{}", client.output());
    assert_eq!(seen.leaves.load(Ordering::SeqCst), 2, "each call was made once");
    let report = world.report("latest").await;
    assert!(report.anomalies.redelivered > 0);
    assert_eq!(
        verdicts(&report.steps[0].calls),
        ["steps.a/call-1 t.leaf passed", "steps.a/call-2 t.leaf passed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_asks_for_something_else_when_executed_again_is_an_error() {
    let mut world = World::new().await;
    let seen = Arc::<Seen>::default();
    let first = worker(&world, 2, &seen).await;
    let path = world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: t.fickle }\n").display().to_string();
    let mut client = world.start("rfx-publish", ["run", &path]);
    eventually("its call has come back", async || (seen.back.load(Ordering::SeqCst) == 1).then_some(()))
        .await;
    drop(first);
    let _second = worker(&world, 2, &seen).await;
    assert_eq!(client.ended().await.code(), Some(1), "{}", client.output());
    let report = world.report("latest").await;
    let error = error(&report).expect("an error");
    assert_eq!(error.kind, "nondeterministic", "{error:?}");
    assert!(error.message.starts_with("call-1 of this attempt was t.leaf"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_taken_away_though_its_worker_died() {
    let mut world = World::new().await;
    let seen = Arc::<Seen>::default();
    let first = worker(&world, 2, &seen).await;
    let flow = "flow: x\n\
        setup:\n  s: { uses: t.make, with: { names: [s] } }\n\
        steps:\n  a: { uses: t.make, with: { names: [a1, a2], then: fail } }\n\
        \x20 b: { uses: t.make, if: steps.a.verdict == \"failed\", with: { names: [b1], then: hold } }\n\
        teardown:\n  t: { uses: t.drop, with: { name: t } }\n";
    let path = world.file("flow.yaml", flow).display().to_string();
    let mut client = world.start("rfx-publish", ["run", &path]);
    eventually("all was made", async || (seen.begun.load(Ordering::SeqCst) == 3).then_some(())).await;
    drop(first);
    let _second = worker(&world, 2, &seen).await;
    eventually("it was executed again", async || (seen.begun.load(Ordering::SeqCst) == 4).then_some(()))
        .await;
    seen.go_on.notify_waiters();
    seen.go_on.notify_one();
    assert_eq!(client.ended().await.code(), Some(1), "{}", client.output());
    let dropped = seen.dropped.lock().expect("no panic").clone();
    assert_eq!(dropped, ["b1", "a2", "a1", "t", "s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_away_is_a_leak_that_every_report_names() {
    let world = World::new().await;
    let _worker = worker(&world, 2, &Arc::default()).await;
    let flow = "flow: x\nsteps:\n  a: { uses: t.make, with: { names: [free, stuck], stuck: stuck } }\n";
    let (ran, report) = run(&world, flow).await;
    assert_eq!((ran.code, report.verdict), (1, Some(Verdict::Error)), "{}", ran.stdout);
    assert_eq!(report.counts.passed, 1, "its jobs have passed");
    let leaks: Vec<_> = report.undos.iter().filter_map(|undo| undo.leak.as_deref()).collect();
    assert_eq!(leaks, ["Failed: stuck is in use"]);
    assert_eq!(report.undos[1].attempts.len(), 3);
    let told = |text: &str| text.contains("t.drop") && text.contains("stuck is in use");
    assert!(told(&ran.stdout), "{}", ran.stdout);
    for file in ["report.html", "junit.xml", "report.json"] {
        let text = std::fs::read_to_string(world.dir().join("report").join(file)).expect("a report");
        assert!(told(&text), "{file}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_its_calls_and_undoes_what_was_done() {
    let mut world = World::new().await;
    let seen = Arc::<Seen>::default();
    let _worker = worker(&world, 4, &seen).await;
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: t.make, with: { names: [a] } }\n\
        \x20 b: { uses: t.parent, with: { ms: 60000 } }\n";
    let path = world.file("flow.yaml", flow).display().to_string();
    let mut client = world.start("rfx-publish", ["run", &path]);
    let all = || {
        (seen.under_way.load(Ordering::SeqCst) == 1 && seen.begun.load(Ordering::SeqCst) == 2).then_some(())
    };
    eventually("the call is under way", async || all()).await;
    client.signal(rustix::process::Signal::TERM);
    assert_eq!(client.ended().await.code(), Some(5), "{}", client.output());
    assert_eq!(*seen.dropped.lock().expect("no panic"), ["a"]);
    let report = world.report("latest").await;
    assert_eq!(report.steps[1].verdict, Some(Verdict::Cancelled));
    assert_eq!(verdicts(&report.steps[1].calls), ["steps.b/call-1 t.leaf cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_takes_over_answers_those_who_wait() {
    let mut world = World::new().await;
    let seen = Arc::<Seen>::default();
    let _worker = worker(&world, 4, &seen).await;
    let flow =
        "flow: x\nsteps:\n  a: { uses: t.parent, repeat: { count: 30 }, with: { calls: 4, ms: 30 } }\n";
    let path = world.file("flow.yaml", flow).display().to_string();
    let client = world.start("rfx-publish", ["run", &path]);
    eventually("some calls were made", async || (seen.leaves.load(Ordering::SeqCst) > 10).then_some(()))
        .await;
    client.crash();
    let ran = world.publish(["resume", "latest"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    assert_eq!((report.counts.passed, report.steps[0].calls.len()), (30, 120));
    assert_eq!(seen.leaves.load(Ordering::SeqCst), 120, "each call was executed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_into_a_limited_lane_from_itself_and_without_end_are_refused() {
    let world = World::new().await;
    let transport = world.transport().await;
    let (group, queue) = ("local".parse().expect("a group"), "main".parse().expect("a queue"));
    transport.make_limited_lane(&group, &queue, 3).await.expect("made");
    let worker_of_it = worker(&world, 2, &Arc::default()).await;
    let (ran, report) = run(&world, "flow: x\nsteps:\n  a: { uses: t.parent }\n").await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    let error = error(&report).expect("an error");
    assert!(error.message.contains("queue main of group local admits few jobs at once"), "{error:?}");
    worker_of_it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_call_without_end_are_stopped() {
    let world = World::new().await;
    let _worker = worker(&world, 2, &Arc::default()).await;
    let (ran, report) = run(&world, "flow: x\nsteps:\n  a: { uses: t.deep }\n").await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_eq!(report.steps[0].calls.len(), 64);
    assert!(error(&report).expect("an error").message.contains("nest more than 64 deep"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_serves_is_lost_when_its_queue_timeout_has_passed() {
    let world = World::new().await;
    let _worker = worker(&world, 2, &Arc::default()).await;
    let flow = "flow: x\nsteps:\n  a: { uses: t.parent, queue_timeout: 2s, with: { uses: t.nowhere } }\n";
    let (ran, report) = run(&world, flow).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_eq!(report.steps[0].calls[0].verdict, Some(Verdict::Lost));
    let error = error(&report).expect("an error");
    assert!(error.message.contains("t.nowhere") && error.message.contains("lost"), "{error:?}");
}

/// A pool whose functions call each other, and must do so in one slot.
const POOL: &str = "import rfx\n\n\n@rfx.function\ndef leaf(n: int) -> int:\n    return n\n\n\n\
    @rfx.function\ndef parent(ctx: rfx.Context) -> list[int]:\n    return [ctx.call(\"p.leaf\", n=n) for n in range(3)]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_one_slot_full_of_callers_does_not_stand_still() {
    let mut world = World::new().await;
    world.file("pool/pool.toml", "name = \"p\"\n");
    world.file("pool/p.py", POOL);
    let pool = world.dir().join("pool").display().to_string();
    let _worker = world.worker(["--pool", &pool, "--slots", "1"]).await;
    let flow = "flow: x\nsteps:\n  a: { uses: p.parent, timeout: 30s, repeat: { count: 10 } }\n";
    let (ran, report) = run(&world, flow).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!((report.counts.passed, report.steps[0].calls.len()), (10, 30));
}
