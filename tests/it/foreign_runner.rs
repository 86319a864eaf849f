//! Runners that are not rfx's: one that is nothing but the protocol, and one that keeps to none of it.

use std::collections::BTreeMap;

use rfx_schemas::report::{AttemptReport, Report};
use rfx_tests::process::{Process, python, root};
use rfx_tests::world::World;
use rustix::process::Signal;

/// Functions of the odd runner, each with how an attempt ends and what its message holds.
const ODD: [(&str, &str, &str); 21] = [
    ("passes", "passed", ""),
    ("crashes", "error", "signal 11 (SIGSEGV)"),
    ("exits", "error", "ended with exit code 7"),
    ("garbage", "error", "a header of 4294967295 bytes"),
    ("no_json", "error", "a header that is not known"),
    ("long_header", "error", "a header of 16777217 bytes and a body of 0; at most 16777216"),
    ("long_body", "error", "a body of 67108865"),
    ("unknown", "error", "unknown variant `praise`"),
    ("out_of_turn", "passed", ""),
    ("bad_output", "error", "the output is not JSON"),
    ("deep_output", "error", "nested 5000 deep"),
    ("claims_lost", "error", "says that it is lost, which only a worker can"),
    ("odd_kind", "error", "unknown variant `great`"),
    ("closes", "error", "signal 9 (SIGKILL)"),
    ("twice", "passed", ""),
    ("other_id", "passed", ""),
    ("deaf", "error", "longer than its timeout"),
    ("floods", "passed", ""),
    ("ignores_stop", "error", "did not stop when asked to"),
    ("odd_ask", "passed", ""),
    ("half_a_frame", "error", "longer than its timeout"),
];

/// What a worker says of runners that do not get as far as their first call.
const STARTS: [(&str, &str); 8] = [
    ("old", "speaks protocol 1, this worker 2"),
    ("forks", "says that it forks, which only the runner for Python can"),
    ("text", "only frames belong on the socket"),
    ("list", "a header that is not known"),
    ("early", "spoke out of turn"),
    ("fatal", "no licence: put it into /etc/licence"),
    ("dies", "ended with exit code 1; it printed:\nno library"),
    ("silent", "did not say what the pool offers within 1s (start_timeout of [runner]"),
];

/// A pool whose runner is odd in this way.
fn odd(world: &World, how: &str) -> String {
    let script = root().join("tests/runners/odd.py");
    let manifest = format!(
        "name = \"odd\"\n[runner]\nexec = [{:?}, {script:?}, {how:?}]\nstart_timeout = \"{}s\"\n",
        python(),
        if how == "silent" { 1 } else { 30 }
    );
    world.file(&format!("{how}/pool.toml"), &manifest);
    // What a runner in another language has beside it is not Python's to import.
    world.file(&format!("{how}/helper.py"), "raise SystemExit\n");
    how.to_owned()
}

fn worker(world: &World, pool: &str) -> Process {
    let mut command = world.command("rfx-worker");
    // There is no Python for it but the runner's own.
    command.args(["--pool", pool, "--slots", "6", "--python", "/nonexistent"]);
    Process::start(&mut command, &world.dir().join(format!("worker-{}.log", pool.replace('/', "_"))))
}

fn attempts(report: &Report) -> BTreeMap<&str, &AttemptReport> {
    report
        .steps
        .iter()
        .filter_map(|step| Some((step.name.as_str(), step.jobs.first()?.attempts.last()?)))
        .collect()
}

fn message(attempt: &AttemptReport) -> String {
    let error = attempt.detail.as_ref().and_then(|detail| detail.error.as_ref());
    error.map(|error| error.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_needs_nothing_but_the_protocol() {
    let world = World::new().await;
    let folder = root().join("examples/runners/plain");
    let worker = worker(&world, &folder.display().to_string());
    worker.printed("serving").await;
    let ran = world.publish(["run", &folder.join("plain.yaml").display().to_string()]).await;
    assert_eq!(ran.code, 0, "{}{}{}", ran.stdout, ran.stderr, worker.output());
    let shown = world.publish(["functions", "show", "plain.add"]).await;
    for part in ["plain.add@1", "Add two numbers", "runner.py:"] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    world.file(
        "fails.yaml",
        "flow: fails\nsteps:\n  wrong: { uses: plain.add, with: { a: 2, b: 3, total: 6 } }\n  \
         late: { uses: plain.wait, timeout: 1s }\n  odd: { uses: plain.count, with: { key: \"a b\" } }\n",
    );
    assert_eq!(world.publish(["run", "fails.yaml"]).await.code, 1);
    let report = world.report("latest").await;
    let ended = attempts(&report);
    let wrong = ended["wrong"].detail.as_ref().expect("it failed");
    assert_eq!(message(ended["wrong"]), "total: expected 6, saw 5");
    assert_eq!(wrong.assertions[0].seen.as_deref(), Some("5"));
    let late = message(ended["late"]);
    assert!(late.contains("longer than its timeout") && late.contains("waited for "), "{late}");
    assert!(!late.contains("did not stop"), "it stopped when asked to: {late}");
    assert!(message(ended["odd"]).contains("no key of the shared state"), "{}", message(ended["odd"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_runner_does_harms_its_worker() {
    let world = World::new().await;
    let pool = odd(&world, "well");
    let mut worker = worker(&world, &pool);
    worker.printed("serving").await;
    let step = |(name, ..): &(&str, &str, &str)| {
        format!("  {name}: {{ uses: odd.{name}, timeout: 3s, allow_failure: true, retry: {{ lost: 0 }} }}\n")
    };
    let steps: String = ODD.iter().map(step).collect();
    for isolation in ["warm", "fresh"] {
        world.file("odd.yaml", &format!("flow: odd\nsteps:\n{steps}"));
        let ran = world.publish(["run", "odd.yaml", "--isolation", isolation]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let report = world.report("latest").await;
        let ended = attempts(&report);
        for (name, kind, words) in ODD {
            let (seen, said) = (ended[name].kind.to_string(), message(ended[name]));
            assert_eq!(seen, kind, "{isolation} {name}: {said}");
            assert!(said.contains(words), "{isolation} {name}: {words:?} is not in {said:?}");
        }
    }
    let broken = world.publish(["functions", "list"]).await.stdout;
    assert!(broken.contains("odd.no name"), "a name that is none costs its function alone: {broken}");
    worker.signal(Signal::TERM);
    assert!(worker.ended().await.success(), "{}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_does_not_start_is_told_with_what_it_did() {
    let world = World::new().await;
    for (how, words) in STARTS {
        let mut worker = worker(&world, &odd(&world, how));
        let ended = worker.ended().await;
        assert_eq!(ended.code(), Some(2), "{how}: {}", worker.output());
        assert!(worker.output().contains(words), "{how}: {words:?} is not in\n{}", worker.output());
    }
    world.file("gone/pool.toml", "name = \"gone\"\nrunner = [\"./gone\"]\n");
    let mut worker = worker(&world, "gone");
    assert_eq!(worker.ended().await.code(), Some(2));
    let said = worker.output();
    assert!(said.contains("pool.toml:2:10") && said.contains("gone cannot be found"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn isolation_is_as_the_runner_can() {
    for (how, eager) in [("well", "warm"), ("shared", "shared")] {
        let world = World::new().await;
        let worker = worker(&world, &odd(&world, how));
        worker.printed("serving").await;
        for (function, isolation, is) in
            [("isolation", "warm", "warm"), ("isolation", "fresh", "fresh"), ("eager", "shared", eager)]
        {
            world.file(
                "flow.yaml",
                &format!(
                    "flow: x\nsteps:\n  a: {{ uses: odd.{function}, expect: 'output == [\"{is}\", \"{is}\"]' }}\n"
                ),
            );
            let ran = world.publish(["run", "flow.yaml", "--isolation", isolation]).await;
            assert_eq!(ran.code, 0, "{how} {function} {isolation}: {}{}", ran.stdout, worker.output());
        }
        let called = world.publish(["call", "odd.where"]).await;
        let pool = world.dir().join(how).display().to_string();
        for part in [&pool, "RFX_ISOLATION", "RFX_MARK", "RFX_POOL"] {
            assert!(called.stdout.contains(part), "{part}: {}", called.stdout);
        }
        assert!(!called.stdout.contains("RFX_NATS"), "settings are not passed on: {}", called.stdout);
    }
}
