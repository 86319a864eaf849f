//! What users get wrong: said with file:line:column and the way out, with the exit code for it.

use std::time::Duration;

use rfx_tests::process::{Ran, command, run, with};
use rfx_tests::world::World;
use rustix::process::Signal;
use tokio::time::Instant;

/// A wrong flow, and what must be said about it.
struct Wrong {
    name: &'static str,
    flow: &'static str,
    place: &'static str,
    says: &'static [&'static str],
}

const WRONG: [Wrong; 12] = [
    Wrong {
        name: "not_yaml",
        flow: "flow: x\nsteps: [\n",
        place: "flow.yaml:",
        says: &["not the YAML that flows use"],
    },
    Wrong {
        name: "unknown_key",
        flow: "flow: x\nsteps:\n  a: { uses: rfx.noop, wiht: {} }\n",
        place: "flow.yaml:3:24:",
        says: &["unknown key \"wiht\" in a step", "did you mean with?"],
    },
    Wrong {
        name: "unknown_function",
        flow: "flow: x\nsteps:\n  a: { uses: t.dubble }\n",
        place: "flow.yaml:3:14:",
        says: &["no pool has a function t.dubble", "did you mean t.double?"],
    },
    Wrong {
        name: "cycle",
        flow: "flow: x\nsteps:\n  a: { uses: rfx.noop, needs: [b] }\n  b: { uses: rfx.echo, with: { v: \"${{ steps.a.output }}\" } }\n",
        place: "flow.yaml:3:3:",
        says: &["steps wait for each other: a → b → a"],
    },
    Wrong {
        name: "wrong_type",
        flow: "flow: x\nsteps:\n  a: { uses: rfx.noop, timeout: 30 }\n",
        place: "flow.yaml:3:33:",
        says: &["expected a duration with its unit, got a number", "30s"],
    },
    Wrong {
        name: "bad_expression",
        flow: "flow: x\nsteps:\n  a: { uses: rfx.echo, with: { v: \"${{ 1 + }}\" } }\n",
        place: "flow.yaml:3:4",
        says: &["this expression cannot be read"],
    },
    Wrong {
        name: "unknown_variable",
        flow: "flow: x\nsteps:\n  a: { uses: rfx.echo, with: { v: \"x ${{ item.name }}\" } }\n",
        place: "flow.yaml:3:42:",
        says: &["there is no item to read here", "only a step with each, matrix or repeat has items"],
    },
    Wrong {
        name: "unknown_step",
        flow: "flow: x\nsteps:\n  one: { uses: rfx.noop }\n  two: { uses: rfx.noop, needs: [onw] }\n",
        place: "flow.yaml:4:34:",
        says: &["needs onw, which is no step", "did you mean one?"],
    },
    Wrong {
        name: "missing_data",
        flow: "flow: x\ndata: { rows: nowhere.csv }\nsteps:\n  a: { uses: rfx.noop, each: \"${{ data.rows }}\" }\n",
        place: "flow.yaml:2:15:",
        says: &["cannot read the data file", "nowhere.csv", "--data NAME=FILE"],
    },
    Wrong {
        name: "ragged_rows",
        flow: "flow: x\ndata: { rows: ragged.csv }\nsteps:\n  a: { uses: rfx.noop, each: \"${{ data.rows }}\" }\n",
        place: "ragged.csv:3:1:",
        says: &["this row has 3 cells, the header has 2"],
    },
    Wrong {
        name: "bad_name",
        flow: "flow: x\nsteps:\n  my-step: { uses: rfx.noop }\n",
        place: "flow.yaml:3:3:",
        says: &["CEL reads my-step as minus", "write my_step"],
    },
    Wrong {
        name: "two_at_once",
        flow: "flow: x\nsteps:\n  a: { usse: rfx.noop }\n  b: { uses: rfx.noop, retry: 3 }\n",
        place: "flow.yaml:4:31:",
        says: &["flow.yaml:3:", "did you mean uses?", "expected a map, got a number"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn wrong_flows_are_refused_with_place_reason_and_help() {
    let mut world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file("ragged.csv", "a,b\n1,2\n1,2,3\n");
    let _worker = world.worker(["--pool", &pool]).await;
    for wrong in &WRONG {
        world.file("flow.yaml", wrong.flow);
        let ran = world.publish(["run", "flow.yaml"]).await;
        assert_eq!(ran.code, 2, "{}: {}{}", wrong.name, ran.stdout, ran.stderr);
        for part in wrong.says.iter().chain([&wrong.place]) {
            assert!(ran.stderr.contains(part), "{}: {part:?} is not in\n{}", wrong.name, ran.stderr);
        }
        insta::assert_snapshot!(wrong.name, ran.stderr);
    }
    let runs = world.publish(["runs"]).await;
    assert_eq!(runs.stdout, "no runs\n", "nothing was submitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_flow_and_wrong_options_are_refused() {
    let mut world = World::new().await;
    world.file("flow.yaml", "flow: x\ninputs: { n: { type: integer } }\nsteps:\n  a: { uses: rfx.echo, with: { v: \"${{ inputs.n }}\" } }\n");
    let _worker = world.worker([]).await;
    let cases: [(&[&str], &str); 8] = [
        (&["run", "gone.yaml"], "cannot read gone.yaml"),
        (&["run", "flow.yaml"], "input n is required and has no value"),
        (&["run", "flow.yaml", "--input", "n=x"], "input n: expected integer, got x"),
        (&["run", "flow.yaml", "--input", "m=1"], "the flow has no m for --input"),
        (&["run", "flow.yaml", "--input", "n"], "write it as --input NAME=VALUE"),
        (
            &["run", "flow.yaml", "--input", "n=1", "--where", "provider=aws"],
            "no live group has provider=aws",
        ),
        (&["run", "flow.yaml", "--input", "n=1", "--where", "aws"], "is not label=value"),
        (&["show", "nothing"], "there is no run nothing"),
    ];
    for (args, says) in cases {
        let ran = world.publish(args.iter().copied()).await;
        assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {says:?} is not in\n{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_a_worker_is_said_within_two_seconds_and_then_waited_for() {
    let mut world = World::new().await;
    world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: rfx.echo, with: { v: 1 } }\n");
    let started = Instant::now();
    let mut client = world.start("rfx-publish", ["run", "flow.yaml"]);
    client.printed("steps.a waits: no worker of group local is up").await;
    assert!(started.elapsed() < Duration::from_millis(2_500), "said after {:?}", started.elapsed());
    let refused = world.publish(["run", "flow.yaml", "--require-workers"]).await;
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("no worker of group local serves rfx.echo"), "{}", refused.stderr);
    let _worker = world.worker([]).await;
    let status = client.ended().await;
    assert_eq!(status.code(), Some(0), "{}", client.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_serves_is_lost_when_its_queue_timeout_has_passed() {
    let world = World::new().await;
    world.file("flow.yaml", "flow: x\ndefaults: { queue_timeout: 1s }\nsteps:\n  a: { uses: rfx.echo, each: [1, 2], with: { v: 1 } }\n");
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("no worker of group local is up"), "{}", ran.stdout);
    let report = world.report("latest").await;
    assert_eq!(report.counts.lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_and_wrong_credentials_are_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let flow = dir.path().join("flow.yaml");
    std::fs::write(&flow, "flow: x\nsteps:\n  a: { uses: rfx.noop }\n").expect("written");
    let flow = flow.to_str().expect("a path");
    let down = run(with(command("rfx-publish"), ["--nats", "nats://127.0.0.1:9", "run", flow])).await;
    assert_eq!(down.code, 69, "{}", down.stderr);
    for part in ["no NATS server at nats://127.0.0.1:9", "nats-server -js", "RFX_NATS__URL"] {
        assert!(down.stderr.contains(part), "{part:?} is not in\n{}", down.stderr);
    }
    let config = dir.path().join("nats.conf");
    std::fs::write(&config, "authorization { user: me, password: secret1 }\n").expect("written");
    let world = World::with_config(Some(config)).await;
    let try_with = async |user: &str, password: &str| -> Ran {
        let mut command = world.command("rfx-publish");
        command.env("RFX_NATS__USER", user).env("RFX_NATS__PASSWORD", password);
        run(with(command, ["run", flow, "--require-workers"])).await
    };
    let wrong = try_with("me", "secret2").await;
    assert_eq!(wrong.code, 69, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("refused user me and the password"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("secret2"), "a password is never shown: {}", wrong.stderr);
    let right = try_with("me", "secret1").await;
    assert_eq!(right.code, 3, "connected, and no worker there: {}", right.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_named() {
    let config = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(config.path(), "accounts { A { users: [{ user: a, password: a }] } }\nno_auth_user: a\n")
        .expect("written");
    let world = World::with_config(Some(config.path().to_owned())).await;
    let ran = world.publish(["runs"]).await;
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    assert!(ran.stderr.contains("JetStream is not enabled"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_does_not_import_costs_only_its_own_functions() {
    let mut world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file("pool/broken.py", "import rfx\nimport no_such_module\n\n@rfx.function(name=\"t.gone\")\ndef gone() -> int:\n    return 1\n");
    world
        .file("flow.yaml", "flow: x\nsteps:\n  a: { uses: t.double, with: { n: 2 }, expect: output == 4 }\n");
    let worker = world.worker(["--pool", &pool]).await;
    assert!(worker.output().contains("no_such_module"), "{}", worker.output());
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let listed = world.publish(["functions"]).await;
    for part in [
        "t.double",
        "broken: module broken of pool t (broken.py:2)",
        "No module named 'no_such_module'",
        "Traceback",
    ] {
        assert!(listed.stdout.contains(part), "{part:?} is not in\n{}", listed.stdout);
    }
    assert!(!listed.stdout.contains("t.gone"), "{}", listed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_searched_and_shown() {
    let mut world = World::new().await;
    let pool = rfx_tests::process::root().join("examples/pool").display().to_string();
    let _worker = world.worker(["--pool", &pool]).await;
    let found = world.publish(["functions", "search", "TENANT"]).await;
    assert!(
        found.stdout.contains("tenants.create") && !found.stdout.contains("rfx.noop"),
        "{}",
        found.stdout
    );
    let shown = world.publish(["functions", "show", "tenants.create"]).await;
    for part in ["tenants.create@1", "tenants.py:", "\"name\"", "input\n"] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    let wrong = world.publish(["functions", "show", "tenants.craete"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("did you mean tenants.create?"), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_cannot_be_served_and_wrong_settings_end_the_worker_at_once() {
    let mut world = World::new().await;
    std::fs::create_dir(world.dir().join("empty")).expect("a folder");
    let mut worker = world.start("rfx-worker", ["--pool", "empty"]);
    assert_eq!(worker.ended().await.code(), Some(2), "{}", worker.output());
    assert!(worker.output().contains("pool.toml"), "{}", worker.output());
    let mut worker = world.start("rfx-worker", ["--slots", "many"]);
    assert_eq!(worker.ended().await.code(), Some(2), "{}", worker.output());
    assert!(worker.output().contains("worker.slots"), "{}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfx_dev_runs_everything_and_keeps_what_it_is_told_to() {
    let world = World::new().await;
    world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: rfx.echo, with: { v: 1 } }\n");
    let store = world.dir().join("kept").display().to_string();
    let mut runs = Vec::new();
    for round in 0..2 {
        let mut command = command("rfx");
        command
            .args(["dev", "--port", "0", "--store", &store, "--reports", "reports"])
            .current_dir(world.dir());
        let log = world.dir().join(format!("dev-{round}.log"));
        let mut dev = rfx_tests::process::Process::start(&mut command, &log);
        dev.printed("collecting").await;
        let output = dev.output();
        let url = output.split("rfx is up on ").last().and_then(|rest| rest.split_whitespace().next());
        let url = url.expect("where it listens").to_owned();
        let ran = run(with(world.command("rfx-publish"), ["--nats", &url, "run", "flow.yaml"])).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let listed = run(with(world.command("rfx-publish"), ["--nats", &url, "runs"])).await;
        runs.push(listed.stdout.lines().count() - 1);
        dev.signal(Signal::INT);
        assert_eq!(dev.ended().await.code(), Some(0), "{}", dev.output());
    }
    assert_eq!(runs, [1, 2], "the second one knows the first one's run");
    let reports = std::fs::read_dir(world.dir().join("reports")).expect("reports").count();
    assert_eq!(reports, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfx_dev_that_is_killed_leaves_nothing_that_listens() {
    let mut world = World::new().await;
    let dev = world.start("rfx", ["dev", "--port", "0"]);
    dev.printed("nats://").await;
    let output = dev.output();
    let (_, rest) = output.split_once("nats://").expect("it was printed");
    let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
    dev.crash();
    let gone = async || std::net::TcpStream::connect(&address).is_err().then_some(());
    rfx_tests::eventually("the server is gone", gone).await;
}
