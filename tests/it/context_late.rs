//! Functions that are stopped, what they leave running, and in which process they are executed.

use std::collections::BTreeSet;

use rfx_schemas::verdict::{OutcomeKind, Verdict};
use rfx_tests::eventually;
use rfx_tests::process::{Process, python, with};
use rfx_tests::world::World;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::context::{error, last, output, outputs, run, step, worker};

const LATE: &str = "flow: late\nsteps:\n\
    \x20 says: { uses: late.says_how_far, timeout: 1s, allow_failure: true }\n\
    \x20 floods: { uses: late.floods, timeout: 1s, allow_failure: true }\n\
    \x20 in_call: { uses: late.hangs_in_call, timeout: 1s, allow_failure: true }\n\
    \x20 in_async: { uses: late.hangs_in_async_call, timeout: 1s, allow_failure: true }\n\
    \x20 in_poll: { uses: late.hangs_in_poll, timeout: 1s, allow_failure: true }\n\
    \x20 in_claim: { uses: late.hangs_in_claim, timeout: 1s, allow_failure: true }\n\
    \x20 seen: { uses: late.finalized, needs: [in_call, in_async, in_poll, in_claim], timeout: 20s }\n";

async fn stops_wherever_it_waits(isolation: &str) {
    let world = World::new().await;
    let _worker = worker(&world, "worker", &[], &["--slots", "8"]).await;
    let (report, _, said) = run(&world, LATE, &["--isolation", isolation]).await;
    for name in ["says", "floods", "in_call", "in_async", "in_poll", "in_claim"] {
        let attempt = last(step(&report, name));
        let (kind, message) = error(attempt);
        assert_eq!((attempt.kind, kind), (OutcomeKind::Error, "TimedOut"), "{isolation}: {said}");
        assert!(message.starts_with("the attempt ran longer than its timeout"), "{message}");
        assert!(!message.contains("did not stop"), "{isolation}: {name}: {message}");
    }
    let (_, message) = error(last(step(&report, "says")));
    assert!(message.ends_with(" before: 3 of 10"), "{message}");
    let seen = output(last(step(&report, "seen")));
    assert_eq!(seen, json!(["in step", "in step", "in step", "made by another one"]), "{isolation}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_stopped_wherever_it_waits_warm() {
    stops_wherever_it_waits("warm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_stopped_wherever_it_waits_fresh() {
    stops_wherever_it_waits("fresh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_stopped_wherever_it_waits_shared() {
    stops_wherever_it_waits("shared").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_leaves_running_gets_an_answer_and_holds_up_nobody() {
    let world = World::new().await;
    let _worker = worker(&world, "worker", &[], &["--slots", "1"]).await;
    for isolation in ["warm", "shared"] {
        let file = world.dir().join(isolation);
        let flow = format!(
            "flow: x\nsteps:\n\
            \x20 a: {{ uses: late.leaves_asking, with: {{ file: \"{}\" }} }}\n\
            \x20 b: {{ uses: calling.impatient, needs: [a] }}\n\
            \x20 c: {{ uses: state.steps, needs: [b], timeout: 5s, repeat: {{ count: 20 }} }}\n",
            file.display()
        );
        let (report, _, said) = run(&world, &flow, &["--isolation", isolation]).await;
        assert_eq!(report.verdict, Some(Verdict::Passed), "{isolation}: {said}");
        let refusal = eventually("it is refused", async || std::fs::read_to_string(&file).ok()).await;
        assert_eq!(refusal, "Ended: the attempt has ended before state.get was asked for", "{isolation}");
    }
}

/// Functions that say in which process they are, and what they did to it.
const PROCESSES: &str = "import os, threading, time\nimport rfx\nheld = []\nwaiting = threading.Barrier(4)\n\n\
    @rfx.function\ndef pid() -> int:\n    return os.getpid()\n\n\
    @rfx.function\ndef fails() -> None:\n    rfx.fail(str(os.getpid()))\n\n\
    @rfx.function\ndef grows() -> int:\n    held.append(bytearray(os.urandom(1)) * (300 << 20))\n    return os.getpid()\n\n\
    @rfx.function\ndef together() -> int:\n    waiting.wait(10)\n    return os.getpid()\n\n\
    @rfx.function(isolation='fresh')\ndef fresh() -> int:\n    return os.getpid()\n\n\
    @rfx.function(isolation='shared')\ndef shared() -> int:\n    return os.getpid()\n\n\
    @rfx.function(retry=3)\ndef third(ctx: rfx.Context) -> int:\n    assert ctx.attempt == 3\n    return ctx.attempt\n\n\
    @rfx.function(timeout=1)\ndef short() -> None:\n    time.sleep(30)\n\n\
    @rfx.function(queue='slow')\ndef slow(ctx: rfx.Context) -> str:\n    return ctx.queue\n";

fn pool(world: &World, name: &str, manifest: &str, code: &str) {
    world.file(&format!("{name}/pool.toml"), &format!("name = \"{name}\"\n{manifest}"));
    world.file(&format!("{name}/{name}.py"), code);
}

fn start(world: &World, pools: &[&str], args: &[&str]) -> Process {
    let mut command = world.command("rfx-worker");
    command.args(["--python", &python()]);
    for pool in pools {
        command.arg("--pool").arg(world.dir().join(pool));
    }
    Process::start(&mut with(command, args), &world.dir().join("worker.log"))
}

fn distinct(outputs: &[Value]) -> usize {
    outputs.iter().map(Value::to_string).collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_kept_as_the_isolation_says() {
    let world = World::new().await;
    pool(&world, "plain", "", PROCESSES);
    pool(&world, "worn", "[runner]\nmax_jobs = 2\n", PROCESSES);
    pool(&world, "alone", "isolation = \"fresh\"\n", PROCESSES);
    let worker = start(&world, &["plain", "worn", "alone"], &["--slots", "1", "--slots", "slow=1"]);
    worker.printed("serving").await;
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: plain.pid, repeat: { count: 5 } }\n\
        \x20 fails: { uses: plain.fails, needs: [a], allow_failure: true }\n\
        \x20 b: { uses: plain.pid, needs: [fails], repeat: { count: 5 } }\n\
        \x20 grows: { uses: plain.grows, needs: [b] }\n\
        \x20 c: { uses: plain.pid, needs: [grows] }\n\
        \x20 d: { uses: plain.fresh, needs: [c], repeat: { count: 5 } }\n\
        \x20 e: { uses: plain.shared, needs: [d], repeat: { count: 5 } }\n\
        \x20 f: { uses: worn.pid, needs: [e], repeat: { count: 6 } }\n\
        \x20 g: { uses: alone.pid, needs: [f], repeat: { count: 3 } }\n\
        \x20 h: { uses: alone.shared, needs: [g], repeat: { count: 3 } }\n\
        \x20 third: { uses: plain.third, needs: [h] }\n\
        \x20 short: { uses: plain.short, needs: [h], allow_failure: true }\n\
        \x20 slow: { uses: plain.slow, needs: [h] }\n";
    let (report, _, said) = run(&world, flow, &[]).await;
    assert_eq!(report.verdict, Some(Verdict::Flaky), "{said}");
    let of = |name: &str| outputs(step(&report, name));
    let first = |name: &str| of(name)[0].to_string();
    assert_eq!(distinct(&of("a")), 1, "the same for those that pass");
    assert_eq!(error(last(step(&report, "fails"))).1, first("a"));
    assert_eq!(distinct(&of("b")), 1);
    assert_ne!(first("a"), first("b"), "another one behind what failed");
    assert_eq!(first("b"), first("grows"));
    assert_ne!(first("grows"), first("c"), "another one behind what grew");
    assert_eq!((distinct(&of("d")), distinct(&of("e"))), (5, 1), "the decorator's");
    assert_eq!(distinct(&of("f")), 3, "max_jobs");
    assert_eq!((distinct(&of("g")), distinct(&of("h"))), (3, 1), "the pool's, and the decorator's before it");
    assert_eq!(step(&report, "third").jobs[0].attempts.len(), 3);
    assert_eq!(error(last(step(&report, "short"))).0, "TimedOut");
    assert_eq!(of("slow"), [json!("slow")]);
    // What the run says comes before both.
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: plain.fresh, repeat: { count: 3 } }\n\
        \x20 b: { uses: alone.shared, repeat: { count: 3 } }\n";
    let (report, _, said) = run(&world, flow, &["--isolation", "warm"]).await;
    let of = |name: &str| distinct(&outputs(step(&report, name)));
    assert_eq!((of("a"), of("b")), (1, 1), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_process_executes_many_at_once_and_process_fixtures_are_closed() {
    let world = World::new().await;
    pool(&world, "plain", "", PROCESSES);
    let mut worker = worker(&world, "worker", &["plain"], &["--slots", "4"]).await;
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: plain.together, repeat: { count: 4 } }\n\
        \x20 b: { uses: fixed.of_the_process, repeat: { count: 4 } }\n";
    let (report, _, said) = run(&world, flow, &["--isolation", "shared"]).await;
    assert_eq!(report.verdict, Some(Verdict::Passed), "{said}");
    assert_eq!(distinct(&outputs(step(&report, "a"))), 1);
    assert_eq!(distinct(&outputs(step(&report, "b"))), 1);
    // In a process that is not used any more, it is closed before the worker is ended.
    let flow = "flow: x\nsteps:\n  b: { uses: fixed.of_the_process }\n";
    let (report, _, _) = run(&world, flow, &["--isolation", "fresh"]).await;
    let pid = output(last(step(&report, "b")));
    let diary = || std::fs::read_to_string(world.dir().join("diary")).unwrap_or_default();
    eventually("it is closed", async || diary().contains(&format!("close {pid}\n")).then_some(())).await;
    run(&world, flow, &["--isolation", "warm"]).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.output());
    let (opened, closed): (Vec<_>, Vec<_>) =
        diary().lines().map(str::to_owned).partition(|line| line.starts_with("open"));
    assert_eq!((opened.len(), closed.len()), (3, 3), "{}", diary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_must_not_be_forked_works_all_the_same() {
    let world = World::new().await;
    let code = |import: &str| {
        format!(
            "import os, socket, threading\nimport rfx\n{import}\n\n@rfx.function\ndef pid() -> int:\n    return os.getpid()\n"
        )
    };
    pool(
        &world,
        "threads",
        "",
        &code("threading.Thread(target=threading.Event().wait, name='beat', daemon=True).start()"),
    );
    pool(&world, "sockets", "", &code("kept = socket.socket()"));
    let worker = start(&world, &["threads", "sockets"], &["--slots", "2"]);
    worker.printed("serving").await;
    for why in ["importing it started the threads beat", "importing it opened 1 sockets"] {
        assert!(worker.output().contains(why), "{}", worker.output());
    }
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: threads.pid, repeat: { count: 4 } }\n  b: { uses: sockets.pid, repeat: { count: 4 } }\n";
    for isolation in ["warm", "fresh", "shared"] {
        let (report, _, said) = run(&world, flow, &["--isolation", isolation]).await;
        assert_eq!(report.verdict, Some(Verdict::Passed), "{isolation}: {said}");
    }
}
