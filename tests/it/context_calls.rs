//! Calls, undos and shared state of Python functions, on several workers, and on one that is killed.

use rfx_schemas::verdict::Verdict;
use rfx_tests::eventually;
use rfx_tests::world::World;
use serde_json::json;

use crate::context::{error, last, output, outputs, run, step, worker};

fn diary(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.dir().join("diary")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A pool of its own, in the world's folder.
fn other_pool(world: &World) {
    let manifest =
        "name = \"other\"\n[[function]]\nname = \"other.program\"\nexec = [\"sh\", \"program.sh\"]\n";
    world.file("other/pool.toml", manifest);
    world.file("other/program.sh", "printf '{\"by\": \"sh\"}' > \"$RFX_OUTPUT\"\n");
    let code = "import rfx\n\n\
        @rfx.function\ndef doubles(n: int) -> int:\n    return 2 * n\n\n\
        @rfx.function\ndef where(ctx: rfx.Context) -> list:\n    return [ctx.group, ctx.queue, ctx.step, ctx.function]\n\n\
        @rfx.function(queue='slow')\ndef slow(ctx: rfx.Context) -> str:\n    return ctx.queue\n\n\
        @rfx.function\ndef place(ctx: rfx.Context) -> list:\n    return ctx.call('other.where', _group='elsewhere')\n";
    world.file("other/other.py", code);
}

const RACE: &str = "flow: race\nsteps:\n\
    \x20 a: { uses: racing.once, repeat: { count: 50 } }\n\
    \x20 b: { uses: fixed.of_the_run, repeat: { count: 20 } }\n\
    \x20 seen: { uses: racing.seen, needs: [a, b] }\n\
    teardown:\n  left: { uses: rfx.noop }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_once_is_made_once_by_fifty_on_two_workers() {
    let world = World::new().await;
    let one = worker(&world, "one", &[], &["--slots", "10"]).await;
    let two = worker(&world, "two", &[], &["--slots", "10"]).await;
    for round in 1..=3 {
        let isolation = ["warm", "fresh", "shared"][round - 1];
        let (report, _, said) = run(&world, RACE, &["--isolation", isolation]).await;
        assert_eq!(report.verdict, Some(Verdict::Passed), "{isolation}: {said}");
        let made = outputs(step(&report, "a"));
        assert!(made.iter().all(|other| *other == made[0]), "{isolation}: {made:?}");
        // What each of fifty added, and how many runs of the flow there were.
        assert_eq!(output(last(step(&report, "seen"))), json!([50, round]), "{isolation}");
        assert_eq!(diary(&world).iter().filter(|line| *line == "make tenant").count(), round);
        assert_eq!(report.undos.len(), 1, "{isolation}: the tenant is undone once");
        assert_eq!(report.undos[0].verdict, Some(Verdict::Passed));
    }
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_full_of_callers_does_not_stand_still() {
    let world = World::new().await;
    other_pool(&world);
    let _worker = worker(&world, "one", &["other"], &["--slots", "1", "--slots", "slow=1"]).await;
    let _there = worker(&world, "there", &["other"], &["--slots", "2", "--group", "elsewhere"]).await;
    let call = |name: &str, uses: &str, input: &str| {
        format!(
            "  {name}: {{ uses: calling.uncaught, with: {{ uses: {uses}, input: {input} }}, timeout: 30s }}\n"
        )
    };
    let flow = format!(
        "flow: calls\ndefaults: {{ where: {{ group: local }} }}\nsteps:\n\
        \x20 parents: {{ uses: calling.uncaught, repeat: {{ count: 10 }}, with: {{ uses: uses.versioned }}, timeout: 30s }}\n\
        \x20 deep: {{ uses: calling.down, with: {{ depth: 3 }}, timeout: 30s }}\n\
        \x20 elsewhere: {{ uses: other.place, timeout: 30s }}\n{}{}{}{}",
        call("pool", "other.doubles", "{ n: 21 }"),
        call("native", "rfx.echo", "{ a: [1] }"),
        call("program", "other.program", "{}"),
        call("slow", "other.slow", "{}"),
    );
    for isolation in ["warm", "fresh", "shared"] {
        let (report, _, said) = run(&world, &flow, &["--isolation", isolation]).await;
        assert_eq!(report.verdict, Some(Verdict::Passed), "{isolation}: {said}");
        let given = |name: &str| output(last(step(&report, name)));
        assert_eq!(given("deep"), json!([3, [2, [1, []]]]));
        assert_eq!(given("pool"), json!(42));
        assert_eq!(given("native"), json!({"a": [1]}));
        assert_eq!(given("program"), json!({"by": "sh"}));
        assert_eq!(given("slow"), json!("slow"));
        assert_eq!(
            given("elsewhere"),
            json!(["elsewhere", "main", "steps.elsewhere/call-1 other.where", "other.where"])
        );
        assert!(outputs(step(&report, "parents")).iter().all(|output| *output == json!("two")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_whose_worker_is_killed_calls_nothing_twice() {
    let mut world = World::new().await;
    let first = worker(&world, "first", &[], &["--slots", "4"]).await;
    let path = |name: &str| world.dir().join(name).display().to_string();
    let (gate, marks) = (path("gate"), path("marks"));
    let flow = format!(
        "flow: x\nsteps:\n  a: {{ uses: calling.goes_on_when_told, with: {{ gate: \"{gate}\", marks: \"{marks}\" }} }}\n"
    );
    let flow = world.file("flow.yaml", &flow).display().to_string();
    let mut client = world.start("rfx-publish", ["run", &flow]);
    let marked = || std::fs::read_to_string(&marks).unwrap_or_default();
    eventually("the first call was executed", async || (marked() == "first\n").then_some(())).await;
    // The parent has its return as soon as the run knows it.
    let transport = world.transport().await;
    world.verdicts(&transport, 1).await;
    first.crash();
    let _second = worker(&world, "second", &[], &["--slots", "4"]).await;
    world.file("gate", "");
    assert_eq!(client.ended().await.code(), Some(0), "{}", client.output());
    assert_eq!(marked(), "first\nsecond\n");
    let report = world.report("latest").await;
    assert!(report.anomalies.redelivered > 0);
    assert_eq!(output(last(&report.steps[0])), json!(["first", "second"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn undos_come_last_first_after_a_crash_too_and_leaks_are_shown() {
    let world = World::new().await;
    let _worker = worker(&world, "worker", &[], &["--slots", "4"]).await;
    let flow = "flow: x\nsteps:\n\
        \x20 a: { uses: calling.undoes, with: { names: [a1, a2] } }\n\
        \x20 b: { uses: calling.crashes_behind_undo, needs: [a], with: { names: [b1, b2] }, allow_failure: true }\n\
        \x20 c: { uses: racing.leaks, needs: [b] }\n";
    for isolation in ["warm", "fresh", "shared"] {
        let (report, _, said) = run(&world, flow, &["--isolation", isolation]).await;
        assert_eq!(report.verdict, Some(Verdict::Error), "{isolation}: {said}");
        let (kind, message) = error(last(step(&report, "b")));
        assert_eq!((kind, message), ("Crashed", "the process that ran the function ended with exit code 9"));
        let undone =
            diary(&world).into_iter().filter_map(|line| Some(line.strip_prefix("leave ")?.to_owned()));
        assert_eq!(undone.collect::<Vec<_>>(), ["b2", "b1", "a2", "a1"], "{isolation}");
        let leaks: Vec<_> = report.undos.iter().filter_map(|undo| undo.leak.as_deref()).collect();
        assert_eq!(leaks, ["OSError: it is in use"], "{isolation}");
        assert!(said.contains("racing.stuck"), "{said}");
        std::fs::remove_file(world.dir().join("diary")).expect("there");
    }
}
