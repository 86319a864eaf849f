//! Programs as functions, on a real worker: the example, and every way in which one can end.

use std::os::unix::fs::PermissionsExt;

use rfx_schemas::report::Report;
use rfx_schemas::verdict::Verdict;
use rfx_tests::eventually;
use rfx_tests::process::{Process, bin, root};
use rfx_tests::world::World;

/// Scripts, each with the verdict, the kind of its error, and a part of the message.
const CASES: [(&str, &str, Verdict, &str, &str); 13] = [
    ("passes", r#"echo '{"n": 2}' > "$RFX_OUTPUT""#, Verdict::Passed, "", ""),
    ("says_nothing", "exit 0", Verdict::Passed, "", ""),
    ("fails", "echo 'two of three' >&2; exit 1", Verdict::Failed, "Failed", "two of three"),
    ("skips", "echo 'not on this kernel' >&2; exit 77", Verdict::Skipped, "Skipped", "not on this kernel"),
    ("errs", "echo 'usage' >&2; exit 3", Verdict::Error, "ExitCode", "usage (it ended with exit code 3)"),
    ("crashes", "kill -SEGV $$", Verdict::Error, "Crashed", "signal 11 (SIGSEGV)"),
    ("bad_json", r#"echo '{"n": }' > "$RFX_OUTPUT""#, Verdict::Error, "OutputError", "line 1 column 7"),
    ("huge", r#"truncate -s 65M "$RFX_OUTPUT""#, Verdict::Error, "OutputError", "68157440 bytes"),
    (
        "floods",
        "head -c 3000000 /dev/zero | tr '\\0' x; exit 1",
        Verdict::Failed,
        "Failed",
        "did not say why",
    ),
    (
        "leaks_its_secret",
        "echo \"token $RFX_SECRET_API_TOKEN\" >&2; exit 1",
        Verdict::Failed,
        "Failed",
        "token [secret]",
    ),
    (
        "sees_no_settings",
        "env | grep -E '^RFX_(NATS|WORKER|SECRET_OTHER)' >&2",
        Verdict::Failed,
        "Failed",
        "did not say why",
    ),
    ("leaves_a_child", "sleep 600 & echo $! > \"$PIDS/leaves_a_child\"", Verdict::Passed, "", ""),
    ("lets_one_escape", "setsid sleep 600 & echo $! > \"$PIDS/lets_one_escape\"", Verdict::Passed, "", ""),
];

/// A child that ignores SIGTERM, of a parent that does so, too.
const STUBBORN: &str = "trap '' TERM; (trap '' TERM; echo $BASHPID > \"$PIDS/stubborn\"; while :; do sleep 1; done) & wait; wait";

fn script(world: &World, name: &str, text: &str) {
    let pids = world.dir().display();
    let text = format!("#!/usr/bin/env bash\nPIDS={pids}\n{text}\n");
    let path = world.file(&format!("pool/{name}.sh"), &text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("ours");
}

fn worker(world: &World, pool: &str) -> Process {
    let mut command = world.command("rfx-worker");
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = bin("file-sizes").parent().expect("a folder").display().to_string();
    command
        .args(["--pool", pool, "--slots", "8", "--python", "/nonexistent"])
        .env("PATH", format!("{bin}:{path}"));
    let tmp = world.dir().join("tmp");
    std::fs::create_dir_all(&tmp).expect("a folder");
    command
        .env("TMPDIR", tmp)
        .env("RFX_SECRET_API_TOKEN", "hunter2-hunter2")
        .env("RFX_SECRET_OTHER", "not-for-it");
    Process::start(&mut command, &world.dir().join("worker.log"))
}

async fn gone(world: &World, name: &str) {
    let pid = std::fs::read_to_string(world.dir().join(name)).expect("a pid");
    let stat = format!("/proc/{}/stat", pid.trim());
    eventually(&format!("{name} is gone"), async || {
        let stat = std::fs::read_to_string(&stat);
        (!stat.is_ok_and(|stat| !stat.contains(") Z "))).then_some(())
    })
    .await;
}

fn ended(report: &Report, name: &str) -> (Verdict, String, String, String) {
    let step = report.steps.iter().find(|step| step.name == name).expect("it is there");
    let detail = step.jobs[0].attempts[0].detail.clone();
    let tail = detail.as_ref().map(|detail| detail.tail.clone()).unwrap_or_default();
    let error = detail.and_then(|detail| detail.error);
    let (kind, message) = error.map(|error| (error.kind, error.message)).unwrap_or_default();
    (step.verdict.expect("ended"), kind, message, tail)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_is_an_outcome() {
    let world = World::new().await;
    let (mut manifest, mut flow) = ("name = \"t\"\n".to_owned(), "flow: x\nsteps:\n".to_owned());
    let stubborn = ("stubborn", STUBBORN);
    for (name, text) in CASES.iter().map(|case| (case.0, case.1)).chain([stubborn]) {
        script(&world, name, text);
        manifest += &format!("[[function]]\nname = \"t.{name}\"\nexec = [\"./{name}.sh\"]\n");
        flow += &format!(
            "  {name}: {{ uses: t.{name}, with: {{ n: 1 }}, timeout: 20s, secrets: [API_TOKEN] }}\n"
        );
    }
    let flow =
        flow.replace("t.stubborn, with: { n: 1 }, timeout: 20s", "t.stubborn, with: { n: 1 }, timeout: 1s");
    let manifest_path = world.file("pool/pool.toml", &manifest);
    world.file("flow.yaml", &flow);
    let pool = manifest_path.parent().expect("a folder").display().to_string();
    // A pool without modules starts no Python: the worker has none.
    let worker = worker(&world, &pool);
    worker.printed("serving").await;
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    for (name, _, verdict, kind, message) in CASES {
        let (seen, seen_kind, seen_message, tail) = ended(&report, name);
        assert_eq!((seen, seen_kind.as_str()), (verdict, kind), "{name}: {seen_message}\n{tail}");
        assert!(seen_message.contains(message), "{name}: {message:?} is not in {seen_message:?}");
        assert!(tail.len() < 20_000, "{name}");
    }
    let (verdict, kind, message, _) = ended(&report, "stubborn");
    assert_eq!((verdict, kind.as_str()), (Verdict::Error, "TimedOut"));
    assert!(message.contains("did not stop when asked to, and was killed"), "{message}");
    gone(&world, "stubborn").await;
    gone(&world, "leaves_a_child").await;
    gone(&world, "lets_one_escape").await;
    let log = worker.output() + &ran.stdout;
    assert!(!log.contains("hunter2"), "a secret's value is shown nowhere: {log}");
    eventually("attempts leave no folders", async || {
        let left = std::fs::read_dir(world.dir().join("tmp")).expect("a folder").flatten();
        let of_attempt = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with("rfx-attempt-");
        (left.filter(of_attempt).count() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_and_stands_in_the_catalogue() {
    let world = World::new().await;
    let folder = root().join("examples/executables");
    let worker = worker(&world, &folder.display().to_string());
    worker.printed("serving").await;
    let flow = folder.join("disks.yaml").display().to_string();
    let ran = world.publish(["run", &flow, "--input", "folder=/etc"]).await;
    assert_eq!(ran.code, 0, "{}{}{}", ran.stdout, ran.stderr, worker.output());
    let report = world.report("latest").await;
    assert_eq!(report.steps[0].counts.skipped, 1, "there is nothing at /mnt/nothing-here");
    let shown = world.publish(["functions", "show", "files.sizes"]).await;
    for part in ["files.sizes@1", "Sizes of the files in a folder", "\"folder\"", "pool.toml:"] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    world
        .file("wrong.yaml", "flow: x\nsteps:\n  a: { uses: files.sizes, with: { folder: /, limit: few } }\n");
    let refused = world.publish(["run", "wrong.yaml"]).await;
    assert_eq!(refused.code, 2, "its schema is known before anything runs: {}", refused.stdout);
    world.file(
        "limit.yaml",
        "flow: x\nsteps:\n  a: { uses: files.sizes, with: { folder: /etc, limit: 1 } }\n",
    );
    let failed = world.publish(["run", "limit.yaml"]).await;
    assert!(failed.code == 1 && failed.stdout.contains("1 are allowed"), "{}", failed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_leaves_no_program_behind() {
    let mut world = World::new().await;
    script(&world, "hangs", "setsid sleep 600 & echo $! > \"$PIDS/child\"; echo $$ > \"$PIDS/hangs\"; wait");
    let manifest = "name = \"t\"\n[[function]]\nname = \"t.hangs\"\nexec = [\"./hangs.sh\"]\n";
    let pool = world.file("pool/pool.toml", manifest).parent().expect("a folder").display().to_string();
    world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: t.hangs }\n");
    let worker = worker(&world, &pool);
    worker.printed("serving").await;
    let _client = world.start("rfx-publish", ["run", "flow.yaml"]);
    let pid = world.dir().join("hangs");
    eventually("it runs", async || {
        let written = std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'));
        written.then_some(())
    })
    .await;
    worker.crash();
    gone(&world, "hangs").await;
    gone(&world, "child").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_costs_only_its_own_function() {
    let world = World::new().await;
    script(&world, "good", "exit 0");
    world.file("pool/plain.sh", "exit 0\n");
    let manifest = "name = \"t\"\n\
        [[function]]\nname = \"t.good\"\nexec = [\"./good.sh\"]\n\
        [[function]]\nname = \"t.gone\"\nexec = [\"./gone.sh\"]\n\
        [[function]]\nname = \"t.plain\"\nexec = [\"./plain.sh\"]\n";
    let pool = world.file("pool/pool.toml", manifest).parent().expect("a folder").display().to_string();
    let worker = worker(&world, &pool);
    worker.printed("serving").await;
    let listed = world.publish(["functions"]).await;
    for part in [
        "t.good",
        "t.gone of pool t (pool.toml:6)",
        "gone.sh cannot be found",
        "plain.sh is not executable: chmod +x",
    ] {
        assert!(listed.stdout.contains(part), "{part:?} is not in\n{}", listed.stdout);
    }
}
