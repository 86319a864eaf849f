//! A plan that is looked at: the same bytes each time, and the expected time once the flow has run.

use rfx_tests::world::World;

const FLOW: &str = "flow: paced\n\
    inputs: { seconds: { type: number, default: 0.3 } }\n\
    setup:\n  up: { uses: rfx.noop }\n\
    steps:\n\
    \x20 nap: { uses: naps, each: [1, 2], with: { seconds: \"${{ inputs.seconds }}\" } }\n\
    \x20 after: { uses: rfx.noop, needs: nap }\n\
    on_failure:\n  logs: { uses: rfx.noop }\n\
    teardown:\n  down: { uses: rfx.noop }\n";
const NAPS: &str = "flow: naps\ninputs: { seconds: { type: number } }\n\
    steps:\n  sleep: { uses: rfx.sleep, with: { seconds: \"${{ inputs.seconds }}\" } }\n";

async fn plan(world: &World, more: &[&str]) -> String {
    let shown = world.publish(["plan", "flow.yaml"].iter().chain(more).copied()).await;
    assert_eq!(shown.code, 0, "{}{}", shown.stdout, shown.stderr);
    assert_eq!(shown.stderr, "");
    shown.stdout
}

async fn run(world: &World, more: &[&str], code: i32) {
    let ran = world.publish(["run", "flow.yaml"].iter().chain(more).copied()).await;
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
}

/// The line with the expected time, and that time in milliseconds.
fn expected(text: &str) -> Option<(&str, u64)> {
    let line = text.lines().find(|line| line.starts_with("expected "))?;
    let (time, _) = line["expected ".len()..].split_once(',').expect("a time, then the run");
    let number = |part: &str, unit: &str| part.strip_suffix(unit).and_then(|n| n.parse::<u64>().ok());
    let part = |part| number(part, "ms").or(number(part, "s").map(|s| s * 1000)).expect("a duration");
    Some((line, time.split(' ').map(part).sum()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_an_earlier_run_took_and_is_the_same_each_time() {
    let mut world = World::new().await;
    world.file("flow.yaml", FLOW);
    world.file("naps.yaml", NAPS);
    let _worker = world.worker([]).await;
    let before = plan(&world, &[]).await;
    let path = "longest path: 4 steps, setup.up → steps.nap/sleep → steps.after → teardown.down\n";
    assert!(before.ends_with(path), "nothing ran yet:\n{before}");

    run(&world, &["--input", "seconds=-1"], 1).await;
    let shown = plan(&world, &[]).await;
    let (line, _) = expected(&shown).expect("better than none");
    assert!(line.ends_with("; without 1 step that it did not run"), "after was skipped: {line}");

    run(&world, &[], 0).await;
    let run_id = world.report("latest").await.run.to_string();
    // A newer run that failed is not what is expected.
    run(&world, &["--input", "seconds=-1"], 1).await;

    for format in ["table", "tree", "json", "mermaid"] {
        let first = plan(&world, &["--format", format]).await;
        assert_eq!(first, plan(&world, &["--format", format]).await, "{format}");
        assert_eq!(matches!(format, "table" | "tree"), expected(&first).is_some(), "{first}");
        assert!(format == "table" || format == "tree" || !first.contains(&run_id[24..]), "{first}");
    }
    let shown = plan(&world, &[]).await;
    let (line, millis) = expected(&shown).expect("an expected time");
    assert!((300..60_000).contains(&millis), "{line}");
    assert!(
        line.contains(&format!(", by run {} of 20", &run_id[24..])) && line.ends_with(" (passed)"),
        "{line}"
    );
    assert_eq!(expected(&plan(&world, &["--offline"]).await), None);

    let flow = FLOW.replace("on_failure:", "\x20 fresh: { uses: rfx.noop, needs: after }\non_failure:");
    world.file("flow.yaml", &flow);
    let shown = plan(&world, &["--format", "tree"]).await;
    let (line, _) = expected(&shown).expect("an expected time");
    assert!(line.ends_with("; without 1 step that it did not run"), "{line}");
    assert!(shown.contains("longest path: 5 steps, "), "{shown}");
}
