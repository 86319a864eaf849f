//! `rfx-publish step`: recorded attempts are executed once more in a terminal, as they were.

use std::process::Stdio;

use rfx_tests::process::{Process, Ran, python, run, with};
use rfx_tests::world::World;
use serde_json::{Value, json};

const CODE: &str = "\
import os
import rfx

@rfx.function(name=\"t.double\")
def double(n: int) -> int:
    return n * 2

@rfx.function(name=\"t.check\")
def check(n: int, text: str = \"\", ctx: rfx.Context = None) -> dict[str, int]:
    print(f\"checking {n} at {ctx.target['api']}\")
    doubled = n * 2
    assert n < 12, f\"{n} is too much\"
    return {\"doubled\": doubled, \"letters\": len(text)}

@rfx.function(name=\"t.flaky\")
async def flaky(ctx: rfx.Context) -> int:
    if ctx.attempt == 1:
        raise ValueError(\"not yet\")
    return ctx.attempt

@rfx.function(name=\"t.login\")
def login(ctx: rfx.Context) -> str:
    return ctx.secret(\"API_TOKEN\")

@rfx.function(name=\"t.exit\")
def leave() -> None:
    os._exit(5)
";

/// A world with a run that has ended, and its worker.
async fn world() -> (World, Process) {
    let world = World::new().await;
    world.file(
        "pool/pool.toml",
        "name = \"t\"\n[[function]]\nname = \"t.program\"\nexec = [\"sh\", \"program.sh\"]\n",
    );
    world.file("pool/program.sh", "echo looking around\nexit 1\n");
    world.file("pool/t.py", CODE);
    world.file("rows.json", &json!([{"name": "web-1", "n": 1}, {"name": "web-2", "n": 8}]).to_string());
    world.file("big.json", &json!(["x".repeat(200_000)]).to_string());
    world.file(
        "inner.yaml",
        "flow: inner\ninputs: { n: { type: integer } }\nsteps:\n  deep: { uses: t.check, with: { n: \"${{ inputs.n }}\" } }\n",
    );
    world.file(
        "flow.yaml",
        "flow: look\ndata: { rows: rows.json, big: big.json }\ntarget: { api: \"http://here\" }\n\
         setup:\n  base: { uses: t.double, with: { n: 2 } }\n\
         steps:\n\
         \x20 hosts: { uses: t.check, each: \"${{ data.rows }}\", with: { n: \"${{ item.n + setup.base.output }}\" }, expect: output.doubled > item.n }\n\
         \x20 big: { uses: t.check, with: { n: 1, text: \"${{ data.big[0] }}\" }, expect: output.letters == 7 }\n\
         \x20 flaky: { uses: t.flaky, retry: { max_attempts: 2, backoff: 10ms } }\n\
         \x20 login: { uses: t.login, secrets: [API_TOKEN] }\n\
         \x20 echo: { uses: rfx.echo, with: { v: \"${{ setup.base.output }}\" } }\n\
         \x20 gone: { uses: t.exit }\n\
         \x20 program: { uses: t.program }\n\
         \x20 inner: { uses: inner, with: { n: 3 } }\n",
    );
    let mut command = world.command("rfx-worker");
    command.env("RFX_SECRET_API_TOKEN", "hunter2-hunter2").args(["--pool", "pool", "--python", &python()]);
    let worker = Process::start(&mut command, &world.dir().join("worker.log"));
    worker.printed("serving").await;
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    (world, worker)
}

/// Steps inside, with something to read on stdin.
async fn step(world: &World, args: &[&str], stdin: &str) -> Ran {
    let input = world.file("stdin.txt", stdin);
    let python = python();
    let args =
        ["step", "latest"].iter().chain(args).chain(&["--python", &python]).copied().collect::<Vec<_>>();
    let mut command = with(world.command("rfx-publish"), args);
    command.env("RFX_SECRET_API_TOKEN", "hunter2-hunter2");
    command.stdin(Stdio::from(std::fs::File::open(input).expect("it is there")));
    run(command).await
}

fn assert_said(ran: &Ran, parts: &[&str]) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    for part in parts {
        assert!(all.contains(part), "{part:?} is not in\n{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_executed_as_it_was_and_compared() {
    let (world, _worker) = world().await;
    let before = world.report("latest").await;
    let failed = step(&world, &["hosts[web-2]"], "").await;
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    assert_said(
        &failed,
        &["checking 12 at http://here", "failed: AssertionError: 12 is too much", "the same as"],
    );
    // One that passed has no recorded input: it is made again.
    let passed = step(&world, &["steps.hosts[web-1]"], "").await;
    assert_eq!(passed.code, 0, "{}{}", passed.stdout, passed.stderr);
    assert_said(&passed, &["checking 5", "output: {\"doubled\":10,\"letters\":0}", "the same as"]);
    let by_id = step(&world, &["1-0", "--print-input"], "").await;
    assert_eq!(by_id.stdout, "{\n  \"n\": 5\n}\n", "{}", by_id.stderr);
    let big = step(&world, &["big"], "").await;
    assert_eq!(big.code, 1);
    assert_said(&big, &["output.letters == 7", "\"letters\":200000", "the same as"]);
    for (args, code, said) in [
        (&["flaky"][..], 0, "the same as"),
        (&["flaky", "--attempt", "1"], 1, "error: ValueError: not yet"),
        (&["login"], 0, "output: \"[secret]\""),
        (&["echo"], 0, "output: {\"v\":4}"),
        (&["gone"], 1, "the recorded outcome, with another message"),
        (&["program"], 1, "looking around"),
        (&["inner/deep"], 0, "checking 3"),
        (&["setup.base"], 0, "output: 4"),
    ] {
        let ran = step(&world, args, "").await;
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_said(&ran, &[said]);
    }
    assert_eq!(world.report("latest").await, before, "nothing is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_input_or_other_code_gives_another_outcome() {
    let (world, worker) = world().await;
    let edit = world.file("edit.json", "{\"n\": 11}");
    let edit = edit.display().to_string();
    let edited = step(&world, &["hosts[web-2]", "--input", &edit], "").await;
    assert_eq!(edited.code, 0, "{}{}", edited.stdout, edited.stderr);
    assert_said(&edited, &["checking 11", "different from the recorded outcome: failed: AssertionError"]);
    // Without the worker: everything that it needs is in the facts and in the pool.
    drop(worker);
    world.file("pool/t.py", &CODE.replace("n < 12", "n < 13"));
    let mended = step(&world, &["hosts[web-2]"], "").await;
    assert_eq!(mended.code, 0, "{}{}", mended.stdout, mended.stderr);
    assert_said(&mended, &["t.py:", "is not the code that ran", "different from the recorded outcome"]);
    world.file("pool/t.py", &CODE.replace("name=\"t.check\"", "name=\"t.check\", version=\"2\""));
    let gone = step(&world, &["hosts[web-2]"], "").await;
    assert_eq!(gone.code, 2, "{}{}", gone.stdout, gone.stderr);
    assert_said(&gone, &["has no t.check@1; it has version 2 of it"]);
    world.file("pool/t.py", "import nowhere_at_all\n");
    let broken = step(&world, &["hosts[web-2]"], "").await;
    assert_said(&broken, &["t does not import: ModuleNotFoundError"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pdb_stops_at_the_first_line_and_where_it_raises() {
    let (world, _worker) = world().await;
    let looked = step(
        &world,
        &["hosts[web-2]", "--pdb"],
        "p n + 1000\nnext\nnext\np doubled\nc\np doubled * 100\nq\n",
    )
    .await;
    assert_said(
        &looked,
        &["t.py(10)check()", "print(f\"checking", "1012", "24", "post mortem: AssertionError", "2400"],
    );
    assert_eq!(looked.code, 1, "{}{}", looked.stdout, looked.stderr);
    assert_said(&looked, &["the same as"]);
    let awaited = step(&world, &["flaky", "--attempt", "1", "--pdb"], "p ctx.attempt + 41\nc\nq\n").await;
    assert_said(&awaited, &["t.py(18)flaky()", "42", "post mortem: ValueError: not yet"]);
    let left = step(&world, &["hosts[web-2]", "--pdb"], "q\n").await;
    assert_eq!(left.code, 130, "{}{}", left.stdout, left.stderr);
    assert_said(&left, &["left the debugger"]);
    let changed = step(&world, &["hosts[web-2]", "--pdb"], "!n = 9\nc\n").await;
    assert_eq!(changed.code, 0, "{}{}", changed.stdout, changed.stderr);
    let missing = step(&world, &["hosts[web-2]", "--debugpy", "56789"], "").await;
    if missing.code == 2 {
        assert_said(&missing, &["-m pip install debugpy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_says_what_can() {
    let (world, _worker) = world().await;
    for (args, said) in [
        (&["hosts"][..], "  1-1  steps.hosts[web-2]  failed\n  1-0  steps.hosts[web-1]  passed"),
        (&["hosts[web-9]"], "hosts has no job web-9; it has:\n  1-1"),
        (&["nowhere"], "the run has no step nowhere; it has setup.base, steps.hosts"),
        (&["9-9"], "the run has no job 9-9"),
        (
            &["inner"],
            "steps.inner is a flow, which has no code of its own; step into one of steps.inner/deep",
        ),
        (&["flaky", "--attempt", "7"], "job 3-0 has no attempt 7; its last one is 2"),
        (&["hosts[web-1]", "--pool", "nowhere"], "nowhere"),
    ] {
        let refused = step(&world, args, "").await;
        assert_eq!(refused.code, 2, "{args:?}: {}{}", refused.stdout, refused.stderr);
        assert_said(&refused, &[said]);
    }
    let python = python();
    let mut command = with(world.command("rfx-publish"), ["step", "latest", "login", "--python", &python]);
    command.env_remove("RFX_SECRET_API_TOKEN");
    let secret = run(command).await;
    assert_eq!(secret.code, 2, "{}{}", secret.stdout, secret.stderr);
    assert_said(&secret, &["this environment has no secret API_TOKEN: set RFX_SECRET_API_TOKEN here"]);
    let input: Value =
        serde_json::from_str(&step(&world, &["big", "--print-input"], "").await.stdout).expect("JSON");
    assert_eq!(input["text"].as_str().map(str::len), Some(200_000), "loaded from its blob");
}
