//! Processes that are killed in the midst of a run: every job still ends with exactly one verdict,
//! and the run with the right one.

use rfx_schemas::report::Report;
use rfx_schemas::verdict::Verdict;
use rfx_tests::process::Process;
use rfx_tests::world::{World, outcomes_by_attempt};
use rfx_tests::{PATIENCE, eventually};
use rustix::process::Signal;

const JOBS: usize = 500;

/// A flow of 500 jobs that take a moment each, with setup and teardown.
fn flow(world: &World) -> String {
    let items: Vec<usize> = (0..JOBS).collect();
    world.file("items.json", &serde_json::json!(items).to_string());
    let path = world.file(
        "flow.yaml",
        "flow: many\ndata: { items: items.json }\n\
         setup:\n  up: { uses: rfx.echo, with: { v: 1 } }\n\
         steps:\n  work: { uses: rfx.sleep, each: \"${{ data.items }}\", with: { seconds: 0.02 } }\n\
         teardown:\n  down: { uses: rfx.echo, with: { v: \"${{ setup.up.output.v }}\" } }\n",
    );
    path.display().to_string()
}

/// What every run of it must come to, whatever was killed.
fn assert_whole(report: &Report) {
    assert_eq!(report.verdict, Some(Verdict::Passed), "{:?}", report.counts);
    assert_eq!(report.counts.passed as usize, JOBS + 2);
    assert_eq!(report.counts.total() as usize, JOBS + 2, "every job has one verdict");
    let doubled: Vec<_> = outcomes_by_attempt(report).into_iter().filter(|(_, n)| *n != 1).collect();
    assert!(doubled.is_empty(), "attempts with other than one outcome: {doubled:?}");
    assert!(
        report.steps.iter().all(|s| s.jobs.iter().all(|j| j.attempts.len() == 1)),
        "nothing was tried twice"
    );
}

async fn passed(client: &mut Process) {
    let status = client.ended().await;
    assert_eq!(status.code(), Some(0), "{}", client.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_costs_no_verdict() {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let first = world.worker(["--slots", "8"]).await;
    let _second = world.worker(["--slots", "8"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    world.verdicts(&transport, 100).await;
    first.crash();
    passed(&mut client).await;
    let report = world.report("latest").await;
    assert_whole(&report);
    assert!(report.anomalies.redelivered > 0, "what the killed worker held was handed over again");
}

/// Runs a flow whose client is killed midway while a resident publisher is up; how the run ended.
pub async fn killed_with_serve_up(flow: impl FnOnce(&World) -> String) -> Report {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "8"]).await;
    let serve = world.start("rfx-publish", ["serve"]);
    serve.printed("standing by").await;
    let client = world.start("rfx-publish", ["run", &flow]);
    world.verdicts(&transport, 100).await;
    client.crash();
    eventually("the run ends", async || transport.runs().await.ok()?.last()?.finished.clone()).await;
    world.report("latest").await
}

/// Runs a flow whose client is killed midway, and resumes it; how the run ended.
pub async fn killed_and_resumed(flow: impl FnOnce(&World) -> String) -> Report {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "8"]).await;
    let client = world.start("rfx-publish", ["run", &flow]);
    let run = world.verdicts(&transport, 100).await;
    client.crash();
    let ran = world.publish(["resume", &run]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    world.report(&run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_is_replaced_by_a_resident_publisher() {
    assert_whole(&killed_with_serve_up(flow).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_driver_is_resumed() {
    assert_whole(&killed_and_resumed(flow).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_on_its_store_costs_no_verdict() {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "8"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    world.verdicts(&transport, 100).await;
    world.crash_server();
    world.restart_server().await;
    passed(&mut client).await;
    assert_whole(&world.report("latest").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_at_once_do_no_harm() {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "8"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    let run = world.verdicts(&transport, 50).await;
    // With the lease gone from under it, the next one drives while the first one believes it does.
    transport.kv_delete(rfx_schemas::topology::Bucket::Lease, &run).await.expect("deleted");
    let mut second = world.start("rfx-publish", ["resume", &run]);
    passed(&mut client).await;
    passed(&mut second).await;
    assert_whole(&world.report(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_a_run_and_one_that_is_stopped_finishes_its_jobs_first() {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let mut first = world.worker(["--slots", "4"]).await;
    let _second = world.worker(["--slots", "4"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    world.verdicts(&transport, 60).await;
    let _third = world.worker(["--slots", "4"]).await;
    world.verdicts(&transport, 150).await;
    first.signal(Signal::TERM);
    let stopped = first.ended().await;
    assert_eq!(stopped.code(), Some(0), "{}", first.output());
    passed(&mut client).await;
    let report = world.report("latest").await;
    assert_whole(&report);
    let mut workers: Vec<_> = report
        .steps
        .iter()
        .flat_map(|s| &s.jobs)
        .flat_map(|j| &j.attempts)
        .map(|a| a.worker.clone())
        .collect();
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 3, "each took its part: {workers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_to_the_client_cancels_the_run_and_tears_down() {
    let mut world = World::new().await;
    let flow = flow(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "2"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    world.verdicts(&transport, 20).await;
    client.signal(Signal::TERM);
    let status = client.ended().await;
    assert_eq!(status.code(), Some(5), "{}", client.output());
    let report = world.report("latest").await;
    assert_eq!(report.verdict, Some(Verdict::Cancelled));
    assert_eq!(report.counts.total() as usize, JOBS + 2, "every job has one verdict");
    assert!(report.counts.cancelled > 0 && report.counts.passed > 20, "{:?}", report.counts);
    let down = report.steps.last().expect("teardown");
    assert_eq!((down.name.as_str(), down.verdict), ("down", Some(Verdict::Passed)));
    let waiting = transport.waiting_jobs().await.expect("the stream's state");
    assert_eq!(waiting, 0, "nothing of the run is left in the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_from_elsewhere_and_frees_its_slots() {
    let mut world = World::new().await;
    let slow = world.file(
        "slow.yaml",
        "flow: slow\nsteps:\n  wait: { uses: rfx.sleep, each: [1, 2, 3, 4, 5, 6], with: { seconds: 600 } }\n\
         teardown:\n  down: { uses: rfx.noop }\n",
    );
    let quick = world.file("quick.yaml", "flow: quick\nsteps:\n  one: { uses: rfx.noop }\n");
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "2"]).await;
    let mut client = world.start("rfx-publish", ["run", slow.to_str().expect("a path")]);
    eventually("jobs wait", async || (transport.waiting_jobs().await.ok()? == 6).then_some(())).await;
    let cancelled = world.publish(["cancel", "latest"]).await;
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    let status = client.ended().await;
    assert_eq!(status.code(), Some(5), "{}", client.output());
    let report = world.report("latest").await;
    assert_eq!((report.counts.cancelled, report.counts.passed), (6, 1), "{:?}", report.steps);
    let ran = world.publish(["run", quick.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 0, "the slots are free again: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cancel_skips_the_teardown() {
    let mut world = World::new().await;
    let flow = world.file(
        "flow.yaml",
        "flow: slow\nsteps:\n  wait: { uses: rfx.sleep, with: { seconds: 600 } }\n\
         teardown:\n  down: { uses: rfx.sleep, each: [1, 2, 3], with: { seconds: 600 } }\n",
    );
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "1"]).await;
    let mut client = world.start("rfx-publish", ["run", flow.to_str().expect("a path")]);
    eventually("the job waits", async || (transport.waiting_jobs().await.ok()? == 1).then_some(())).await;
    client.signal(Signal::TERM);
    // The teardown's jobs are out: one runs, two wait.
    eventually("teardown runs", async || (transport.waiting_jobs().await.ok()? == 3).then_some(())).await;
    client.signal(Signal::TERM);
    assert_eq!(client.ended().await.code(), Some(5), "{}", client.output());
    let report = world.report("latest").await;
    assert_eq!((report.counts.cancelled, report.counts.total()), (4, 4), "{:?}", report.counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_deadline_is_lost_and_torn_down() {
    let mut world = World::new().await;
    let flow = world.file(
        "flow.yaml",
        "flow: late\ndeadline: 2s\nsteps:\n  wait: { uses: rfx.sleep, each: [1, 2, 3], with: { seconds: 600 } }\n\
         teardown:\n  down: { uses: rfx.noop }\n",
    );
    let _worker = world.worker(["--slots", "1"]).await;
    let ran = world.publish(["run", flow.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    assert_eq!((report.counts.lost, report.counts.passed), (3, 1), "{:?}", report.counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_every_worker_is_lost_as_poison() {
    let mut world = World::new().await;
    world.file("pool/pool.toml", "name = \"p\"\n");
    let kill = "import os, signal, time, rfx\n\n\n@rfx.function(name=\"p.kill\")\ndef kill() -> None:\n    zygote = open(f\"/proc/{os.getppid()}/stat\").read()\n    os.kill(int(zygote.split()[3]), signal.SIGKILL)\n    time.sleep(600)\n";
    world.file("pool/p.py", kill);
    let pool = world.dir().join("pool").display().to_string();
    let flow = world.file("flow.yaml", "flow: poison\nsteps:\n  kill: { uses: p.kill }\n");
    let mut worker = world.worker(["--pool", &pool]).await;
    let mut client = world.start("rfx-publish", ["run", flow.to_str().expect("a path")]);
    let mut killed = 0;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let status = loop {
        tokio::select! {
            status = client.ended() => break status,
            _ = worker.ended() => {
                killed += 1;
                worker = world.worker(["--pool", &pool]).await;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "killed {killed} workers: {}", client.output());
    };
    assert_eq!(status.code(), Some(3), "{}", client.output());
    assert_eq!(killed, 5, "the limit of deliveries bounds how many workers it may take");
    let report = world.report("latest").await;
    let attempt = &report.steps[0].jobs[0].attempts[0];
    let failure = attempt.detail.as_ref().and_then(|d| d.error.as_ref()).expect("why");
    assert_eq!((failure.kind.as_str(), attempt.deliveries), ("poison", 6));
}
