//! Every way in which a function can end, in each isolation, on a real worker; and that no process is
//! left, whoever is killed.

use std::collections::BTreeMap;

use rfx_schemas::report::{AttemptReport, Report};
use rfx_tests::eventually;
use rfx_tests::process::{Process, python, root, with};
use rfx_tests::world::World;
use rustix::process::{Pid, Signal};

/// The environment variable by which this test finds what its worker has started.
const OURS: &str = "TEST_OF_FUNCTIONS";

/// A function and how it ends: its kind, and what its message holds.
const TABLE: &[(&str, &str, &str)] = &[
    ("ends.nothing", "passed", ""),
    ("ends.record", "passed", ""),
    ("ends.big", "passed", ""),
    ("ends.prints", "passed", ""),
    ("ends.awaits", "passed", ""),
    ("ends.threads", "passed", ""),
    ("ends.lingering_thread", "passed", ""),
    ("ends.swaps_streams", "passed", ""),
    ("ends.uses_numpy", "passed|skipped", ""),
    ("ends.asserts", "failed", "assert total == 4: total is 3"),
    ("ends.fails", "failed", "wrong total"),
    ("ends.expects", "failed", "one is two"),
    ("ends.skips", "skipped", "not here"),
    ("ends.raises", "error", "no such host"),
    ("ends.raises_in_group", "error", "outer"),
    ("ends.recurses", "error", "maximum recursion depth"),
    ("ends.exits", "error", "3"),
    ("ends.interrupts_itself", "error", ""),
    ("ends.unprintable", "error", "cannot be printed"),
    ("ends.long_message", "error", "xxx"),
    ("ends.gives_nan", "error", "JSON has no nan"),
    ("ends.gives_bytes", "error", "bytes"),
    ("ends.gives_huge_int", "error", "more than 64 bits"),
    ("ends.gives_cycle", "error", "nested deeper"),
    ("ends.gives_surrogate", "error", "surrogate"),
    ("ends.gives_object", "error", "object"),
    ("ends.gives_odd_keys", "error", "key"),
    ("ends.gives_too_much", "error", "at most"),
    ("ends.needs", "error", "port: not a valid Port: 0 is no port"),
    ("breaks.exits_at_once", "error", "ended with exit code 7"),
    ("breaks.exits_with_zero", "error", "ended with exit code 0"),
    ("breaks.segfaults", "error", "signal 11 (SIGSEGV)"),
    ("breaks.aborts", "error", "signal 6 (SIGABRT)"),
    ("breaks.kills_itself", "error", "signal 9 (SIGKILL)"),
    ("breaks.terminates_itself", "passed", ""),
    ("breaks.sleeps", "error", "longer than its timeout"),
    ("breaks.sleeps_async", "error", "longer than its timeout"),
    ("breaks.computes", "error", "longer than its timeout"),
    ("breaks.swallows_timeouts", "error", "did not stop when asked to"),
    ("breaks.hangs_in_c", "error", "did not stop when asked to"),
    ("breaks.cleans_up_late", "error", "longer than its timeout"),
    ("breaks.floods", "passed", ""),
    ("breaks.floods_from_child", "passed", ""),
    ("breaks.reads_stdin", "passed", ""),
    ("breaks.closes_descriptors", "passed", ""),
    ("breaks.leaves_child", "passed", ""),
    ("breaks.leaves_daemon", "passed", ""),
    ("breaks.leaves_family_and_dies", "error", "ended with exit code 0"),
    ("breaks.forks_bomb", "error", "longer than its timeout"),
    ("breaks.forks_and_returns", "passed", ""),
    ("breaks.eats_memory", "error", "400 MiB are allowed"),
    ("breaks.opens_sockets", "passed", ""),
    ("breaks.stops_itself", "error", "longer than its timeout"),
    ("breaks.dies_in_thread", "error", "signal 11 (SIGSEGV)"),
];

/// A flow of all functions of the table, each a step that may fail.
fn flow() -> String {
    let step = |(function, ..): &(&str, &str, &str)| {
        let name = function.replace('.', "_");
        let with = if *function == "ends.needs" { "with: { port: { number: 0 } }, " } else { "" };
        format!(
            "  {name}: {{ uses: {function}, {with}timeout: 4s, queue_timeout: 1s, allow_failure: true, retry: {{ lost: 0 }} }}\n"
        )
    };
    format!("flow: endings\nsteps:\n{}", TABLE.iter().map(step).collect::<String>())
}

fn worker(world: &mut World, args: &[&str]) -> Process {
    let mut command = world.command("rfx-worker");
    command
        .env(OURS, world.url())
        .args(["--python", &python(), "--pool"])
        .arg(root().join("tests/functions"));
    let log = world.dir().join("worker.log");
    Process::start(&mut with(command, args), &log)
}

/// Processes that the worker of this world has started, itself among them.
fn left(world: &World) -> Vec<Pid> {
    let mark = format!("{OURS}={}", world.url());
    let folder = std::fs::read_dir("/proc").expect("Linux");
    let pids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    pids.filter(ours).filter_map(Pid::from_raw).collect()
}

async fn none_is_left(world: &World, when: &str) {
    let gone = async || left(world).is_empty().then_some(());
    eventually(&format!("no process is left {when}"), gone).await;
}

fn attempts(report: &Report) -> BTreeMap<&str, &AttemptReport> {
    report
        .steps
        .iter()
        .filter_map(|step| Some((step.name.as_str(), step.jobs.first()?.attempts.last()?)))
        .collect()
}

async fn all_end_as_they_should(isolation: &str) {
    let mut world = World::new().await;
    let flow = world.file("flow.yaml", &flow());
    let worker = worker(&mut world, &["--slots", "4"]);
    worker.printed("serving").await;
    let ran = world.publish(["run", flow.to_str().expect("a path"), "--isolation", isolation]).await;
    assert!([0, 1].contains(&ran.code), "{}", ran.stderr);
    let report = world.report("latest").await;
    let attempts = attempts(&report);
    let mut wrong = Vec::new();
    for (function, kinds, message) in TABLE {
        let Some(attempt) = attempts.get(function.replace('.', "_").as_str()) else {
            wrong.push(format!("{function}: no attempt"));
            continue;
        };
        let detail = attempt.detail.as_ref();
        let error = detail.and_then(|d| d.error.as_ref());
        let said = error.map_or("", |error| error.message.as_str());
        if !kinds.split('|').any(|kind| attempt.kind.as_str() == kind) || !said.contains(message) {
            let tail = detail.map_or("", |d| d.tail.as_str());
            wrong.push(format!(
                "{function}: {} {error:?} {tail:?}; expected {kinds} {message:?}",
                attempt.kind
            ));
        }
    }
    assert!(wrong.is_empty(), "{isolation}:\n{}\n{}", wrong.join("\n"), ran.stderr);
    says_what_an_engineer_needs(&attempts, isolation);
    worker.signal(Signal::TERM);
    drop(worker);
    none_is_left(&world, "after the worker").await;
}

/// What is beyond a kind and a message.
fn says_what_an_engineer_needs(attempts: &BTreeMap<&str, &AttemptReport>, isolation: &str) {
    let detail = |function: &str| {
        attempts[function.replace('.', "_").as_str()].detail.as_ref().expect("what is not passed has details")
    };
    let trace = |function: &str| {
        let error = detail(function).error.as_ref().expect("why");
        error.traceback.clone().unwrap_or_default()
    };
    assert!(trace("ends.raises").contains("ends.py"), "{}", trace("ends.raises"));
    assert!(trace("breaks.segfaults").contains("breaks.py"), "{}", trace("breaks.segfaults"));
    if isolation != "shared" {
        // Where it hung, although Python could not be interrupted.
        assert!(trace("breaks.hangs_in_c").contains("_block"), "{}", trace("breaks.hangs_in_c"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_warm() {
    all_end_as_they_should("warm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_fresh() {
    all_end_as_they_should("fresh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_shared() {
    all_end_as_they_should("shared").await;
}

/// Short calls are sent ahead of the answers to those before. Some of them end the process, and it is worn
/// often: yet each is executed once, and nobody pays for another.
#[tokio::test(flavor = "multi_thread")]
async fn short_calls_are_each_executed_once_whatever_ends_their_process() {
    const JOBS: u64 = 3_000;
    let mut world = World::new().await;
    let source = std::fs::read_to_string(root().join("tests/functions/ends.py")).expect("a module");
    world.file("pool/ends.py", &source);
    world.file("pool/pool.toml", "name = \"short\"\n\n[runner]\nmax_jobs = 170\n");
    let into = world.file("lines", "");
    let numbers: Vec<u64> = (0..JOBS).collect();
    world.file("items.json", &serde_json::json!(numbers).to_string());
    let flow = format!(
        "flow: short\ndata: {{ items: items.json }}\nsteps:\n  counts: {{ uses: ends.counts, each: \"${{{{ data.items }}}}\", \
         with: {{ into: {}, number: \"${{{{ item }}}}\" }}, retry: {{ lost: 0 }} }}\n",
        into.display()
    );
    let flow = world.file("flow.yaml", &flow);
    let pool = world.dir().join("pool").display().to_string();
    let _worker = world.worker(["--pool", &pool, "--slots", "2"]).await;
    let ran = world.publish(["run", "--quiet", flow.to_str().expect("a path")]).await;
    let mut lines = BTreeMap::new();
    for line in std::fs::read_to_string(&into).expect("it is there").lines() {
        *lines.entry(line.parse::<u64>().expect("a number")).or_insert(0_u32) += 1;
    }
    let repeated: Vec<_> = lines.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty() && lines.len() as u64 == JOBS, "{} lines, {repeated:?}", lines.len());
    let report = world.report("latest").await;
    let wrong =
        report.steps[0].jobs.iter().filter(|job| job.verdict != Some(rfx_schemas::verdict::Verdict::Passed));
    let wrong: Vec<u64> = wrong.map(|job| u64::from(job.job.item)).collect();
    let culprits: Vec<u64> = numbers.into_iter().filter(|number| number % 400 == 7).collect();
    assert_eq!(wrong, culprits, "{}", ran.stderr);
}

/// A flow that leaves all kinds of processes about.
const LITTER: &str = "flow: litter\nsteps:\n\
    \x20 sleeps: { uses: breaks.sleeps, each: [1, 2, 3], timeout: 60s }\n\
    \x20 bomb: { uses: breaks.forks_bomb, timeout: 60s }\n\
    \x20 async: { uses: breaks.sleeps_async, timeout: 60s }\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_worker_is_killed() {
    let mut world = World::new().await;
    let flow = world.file("flow.yaml", LITTER);
    for round in 0..10 {
        let isolation = ["warm", "fresh", "shared"][round % 3];
        let worker = worker(&mut world, &["--slots", "8"]);
        worker.printed("serving").await;
        let args = ["run", "--isolation", isolation, flow.to_str().expect("a path")];
        let client = world.start("rfx-publish", args);
        eventually("the litter lies about", async || (left(&world).len() > 40).then_some(())).await;
        worker.crash();
        none_is_left(&world, &format!("in round {round}, {isolation}")).await;
        client.crash();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zygote_that_is_killed_takes_its_runners_along_and_is_replaced() {
    let mut world = World::new().await;
    let flow =
        world.file("flow.yaml", "flow: calm\nsteps:\n  a: { uses: ends.prints, each: [1, 2, 3, 4] }\n");
    let litter = world.file("litter.yaml", LITTER);
    let worker = worker(&mut world, &["--slots", "8"]);
    worker.printed("serving").await;
    let idle = left(&world).len();
    for round in 0..10 {
        let args = ["run", "--isolation", ["warm", "shared"][round % 2], litter.to_str().expect("a path")];
        let client = world.start("rfx-publish", args);
        eventually("the litter lies about", async || (left(&world).len() > idle + 40).then_some(())).await;
        let zygote = zygote(&world, worker.pid());
        rustix::process::kill_process(zygote, Signal::KILL).expect("it is there");
        client.signal(Signal::INT);
        client.signal(Signal::INT);
        drop(client);
        let ran = world.publish(["run", flow.to_str().expect("a path")]).await;
        assert_eq!(ran.code, 0, "round {round}: {}", ran.stderr);
    }
    worker.signal(Signal::TERM);
    drop(worker);
    none_is_left(&world, "after the worker").await;
}

/// The worker's child that is Python.
fn zygote(world: &World, worker: u32) -> Pid {
    let is_it = |pid: &Pid| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
        let parent = read("stat")
            .ok()
            .and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        parent == Some(worker) && read("cmdline").is_ok_and(|line| line.contains("rfx.runner"))
    };
    left(world).into_iter().find(is_it).expect("there is a zygote")
}
