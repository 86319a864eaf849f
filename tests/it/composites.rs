//! Flows used as functions, run by real processes: over lists, in several places at once, and under
//! drivers that are killed. Each execution is set up and torn down by itself.

use rfx_schemas::report::{Report, StepReport};
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_schemas::verdict::Verdict;
use rfx_tests::eventually;
use rfx_tests::world::{World, outcomes_by_attempt};

use crate::faults::{killed_and_resumed, killed_with_serve_up};

const HOSTS: usize = 60;

/// A fleet whose hosts are each registered by a composite: set up, worked on, torn down.
fn fleet(world: &World) -> String {
    world.file(
        "register.yaml",
        "flow: hosts.register\n\
         inputs: { host: { type: integer } }\n\
         setup:\n  up: { uses: rfx.echo, with: { v: \"${{ inputs.host }}\" } }\n\
         steps:\n  work: { uses: rfx.sleep, repeat: { count: 3 }, with: { seconds: 0.02 } }\n\
         teardown:\n  down: { uses: rfx.echo, with: { v: \"${{ setup.up.output.v }}\" } }\n\
         outputs: { host: \"${{ setup.up.output.v }}\" }\n",
    );
    let items: Vec<usize> = (0..HOSTS).collect();
    world.file("items.json", &serde_json::json!(items).to_string());
    let flow = "flow: fleet\ndata: { items: items.json }\n\
         setup:\n  all: { uses: rfx.echo, with: { v: 1 } }\n\
         steps:\n\
         \x20 hosts: { uses: hosts.register, each: \"${{ data.items }}\", max_parallel: 20, with: { host: \"${{ item }}\" }, expect: output.host == item }\n\
         \x20 join: { uses: rfx.echo, with: { n: \"${{ size(steps.hosts.output) }}\" }, expect: output.n == 60 }\n\
         teardown:\n  end: { uses: rfx.echo, with: { v: \"${{ setup.all.output.v }}\" } }\n";
    world.file("fleet.yaml", flow).display().to_string()
}

fn step<'a>(report: &'a Report, path: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.path == path).unwrap_or_else(|| panic!("no step {path}"))
}

/// What every run of it must come to, whatever was killed.
fn assert_whole(report: &Report) {
    assert_eq!(report.verdict, Some(Verdict::Passed), "{:?}", report.counts);
    assert_eq!(report.counts.passed as usize, 5 * HOSTS + 3, "an execution is no job");
    let doubled: Vec<_> = outcomes_by_attempt(report).into_iter().filter(|(_, n)| *n > 1).collect();
    assert!(doubled.is_empty(), "attempts with more than one outcome: {doubled:?}");
    assert_torn_down(report);
}

/// Whatever was set up has exactly one verdict of its teardown, after all else there has one.
fn assert_torn_down(report: &Report) {
    let passed = |path: &str| {
        let jobs = step(report, path).jobs.iter().filter(|job| job.verdict == Some(Verdict::Passed));
        let mut keys: Vec<_> = jobs.map(|job| job.key.clone()).collect();
        keys.sort();
        keys
    };
    assert_eq!(passed("steps.hosts/teardown.down"), passed("steps.hosts/setup.up"));
    assert_eq!(step(report, "teardown.end").verdict, Some(Verdict::Passed));
    let worked = step(report, "steps.hosts/work");
    for down in &step(report, "steps.hosts/teardown.down").jobs {
        let began = down.attempts[0].released;
        let work = worked.jobs.iter().filter(|job| {
            let of_host = job.key.as_deref().and_then(|key| key.split(" / ").next());
            of_host == down.key.as_deref()
        });
        for attempt in work.flat_map(|job| &job.attempts) {
            assert!(attempt.ended <= began, "{:?} was torn down before its work had ended", down.key);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_midway_is_replaced_by_a_resident_publisher() {
    assert_whole(&killed_with_serve_up(fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_midway_is_followed_by_resume() {
    assert_whole(&killed_and_resumed(fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_tears_down_every_execution_that_was_set_up() {
    let mut world = World::new().await;
    let flow = fleet(&world);
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "4"]).await;
    let mut client = world.start("rfx-publish", ["run", &flow]);
    let run = world.verdicts(&transport, 60).await;
    let cancelled = world.publish(["cancel", &run]).await;
    assert_eq!(cancelled.code, 0, "{}{}", cancelled.stdout, cancelled.stderr);
    assert_eq!(client.ended().await.code(), Some(5), "{}", client.output());
    let report = world.report(&run).await;
    assert_eq!(report.verdict, Some(Verdict::Cancelled));
    assert!(report.steps.iter().all(|step| step.verdict.is_some()), "every step has a verdict");
    assert_torn_down(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_while_it_tears_down_a_cancelled_run_is_followed_by_resume() {
    let mut world = World::new().await;
    let flow = fleet(&world);
    let register = std::fs::read_to_string(world.dir().join("register.yaml")).expect("written");
    // Teardown takes a while, so that it can be interrupted.
    let slow = "{ uses: rfx.sleep, with: { seconds: \"${{ setup.up.output.v * 0 + 1 }}\" } }";
    let quick = "{ uses: rfx.echo, with: { v: \"${{ setup.up.output.v }}\" } }";
    world.file("register.yaml", &register.replace(&format!("down: {quick}"), &format!("down: {slow}")));
    let transport = world.transport().await;
    let _worker = world.worker(["--slots", "8"]).await;
    let client = world.start("rfx-publish", ["run", &flow]);
    let text = world.verdicts(&transport, 40).await;
    let run = text.parse().expect("a run id");
    client.signal(rustix::process::Signal::TERM);
    let settled = FactSubject::Run { run, fact: RunFact::Settled };
    eventually("teardown begins", async || transport.has_fact(&settled).await.ok()?.then_some(())).await;
    client.crash();
    let ran = world.publish(["resume", &text]).await;
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    let report = world.report(&text).await;
    assert!(report.steps.iter().all(|step| step.verdict.is_some()), "every step has a verdict");
    assert_torn_down(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_runs_in_every_group_with_no_file_changed() {
    let mut world = World::new().await;
    let flow = fleet(&world);
    let _aws = world.worker(["--group", "aws-eu1", "--label", "provider=aws"]).await;
    let _onprem = world.worker(["--group", "onprem", "--label", "provider=own"]).await;
    let ran = world.publish(["run", &flow, "--each-group"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    for (group, step_name) in [("aws-eu1", "aws_eu1"), ("onprem", "onprem")] {
        let inner = step(&report, &format!("steps.{step_name}/hosts/work"));
        assert_eq!((inner.group.as_str(), inner.counts.passed as usize), (group, 3 * HOSTS));
    }
    let one = world.publish(["run", &flow, "--each-group", "provider=aws", "--only", "aws_eu1/join"]).await;
    assert_eq!(one.code, 0, "{}{}", one.stdout, one.stderr);
    let refused = world.publish(["run", &flow, "--each-group", "provider=gcp"]).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("no live group fits --each-group"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_ships_flows_that_are_found_and_used_like_functions() {
    let mut world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file(
        "pool/flows/twice.yaml",
        "flow: t.twice\ndescription: Doubles a number two times.\ninputs: { n: { type: integer } }\n\
         steps:\n  once: { uses: t.double, with: { n: \"${{ inputs.n }}\" } }\n  again: { uses: t.double, with: { n: \"${{ steps.once.output }}\" } }\n\
         outputs: { n: \"${{ steps.again.output }}\" }\n",
    );
    world.file("pool/flows/wrong.yaml", "flow: t.wrong\nsteps:\n  a: { usse: t.double }\n");
    let flow = world.file(
        "flow.yaml",
        "flow: x\nsteps:\n  a: { uses: t.twice, with: { n: 3 }, expect: output.n == 12 }\n",
    );
    let flow = flow.display().to_string();
    let offline = world.publish(["check", &flow, "--pool", &pool]).await;
    assert_eq!(offline.code, 0, "without a worker: {}{}", offline.stdout, offline.stderr);
    let _worker = world.worker(["--pool", &pool]).await;
    let found = world.publish(["functions", "search", "two times"]).await;
    assert!(found.stdout.contains("t.twice"), "{}", found.stdout);
    let listed = world.publish(["functions"]).await;
    assert!(listed.stdout.contains("flows/wrong.yaml:3:8"), "{}", listed.stdout);
    let ran = world.publish(["run", &flow]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_given_its_secrets_and_nobody_else_sees_them() {
    let world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file(
        "pool/login.py",
        "import rfx\n\n@rfx.function(name=\"t.login\")\ndef login(ctx: rfx.Context) -> dict[str, str]:\n    token = ctx.secret(\"API_TOKEN\")\n    print(\"token is\", token)\n    assert token != \"hunter2-hunter2\", f\"{token} was leaked\"\n    return {\"token\": token}\n",
    );
    let flow = world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: t.login, secrets: API_TOKEN }\n  b: { uses: t.login }\n  c: { uses: t.login, secrets: [OTHER] }\n");
    let mut command = world.command("rfx-worker");
    command.env("RFX_SECRET_API_TOKEN", "hunter2-hunter2").args(["--pool", &pool]);
    let worker = rfx_tests::process::Process::start(&mut command, &world.dir().join("worker.log"));
    worker.printed("serving").await;
    let ran = world.publish(["run", &flow.display().to_string(), "--report", "report"]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for part in
        ["[secret] was leaked", "add it there: secrets: [API_TOKEN]", "set RFX_SECRET_OTHER where it runs"]
    {
        assert!(ran.stdout.contains(part), "{part:?} is not in\n{}", ran.stdout);
    }
    let page = std::fs::read_to_string(world.dir().join("report/report.html")).expect("a report");
    for text in [&ran.stdout, &ran.stderr, &worker.output(), &page] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
