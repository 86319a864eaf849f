//! Versions of one function, served side by side and used in one flow.

use rfx_schemas::verdict::Verdict;
use rfx_tests::world::World;

fn function(version: &str, factor: u32) -> String {
    format!(
        "import rfx\n\n@rfx.function(name=\"t.times\", version=\"{version}\")\ndef times(n: int) -> int:\n    return n * {factor}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_serve_one_flow_and_each_outcome_says_which_code_ran() {
    let mut world = World::new().await;
    world.file("old/pool.toml", "name = \"old\"\n");
    world.file("old/times_old.py", &function("1", 2));
    world.file("new/pool.toml", "name = \"new\"\n");
    world.file("new/times_new.py", &function("2", 3));
    let flow = world.file(
        "flow.yaml",
        "flow: versions\nsteps:\n\
         \x20 old: { uses: t.times@1, with: { n: 5 }, expect: output == 10 }\n\
         \x20 new: { uses: t.times@2, with: { n: 5 }, expect: output == 15 }\n\
         \x20 any: { uses: t.times, with: { n: 5 }, expect: output == 15 }\n",
    );
    let (old, new) =
        (world.dir().join("old").display().to_string(), world.dir().join("new").display().to_string());
    let flow = flow.display().to_string();
    let checked = world.publish(["check", &flow, "--pool", &old, "--pool", &new]).await;
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    // Beside each other in one worker, and another version in a place of its own.
    let _both = world.worker(["--pool", &old, "--pool", &new, "--group", "both"]).await;
    let _old = world.worker(["--pool", &old, "--group", "old"]).await;
    let ran = world.publish(["run", &flow, "--where", "group=both"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    let told: Vec<_> = report.steps.iter().map(|step| (step.uses.as_str(), step.verdict)).collect();
    let passed = Some(Verdict::Passed);
    assert_eq!(told, [("t.times@1", passed), ("t.times@2", passed), ("t.times@2", passed)]);
    let digests: Vec<_> = report.steps.iter().map(|step| step.jobs[0].attempts[0].digest.clone()).collect();
    assert!(digests.iter().all(|digest| digest.as_ref().is_some_and(|d| d.len() == 64)), "{digests:?}");
    assert!(digests[0] != digests[1] && digests[1] == digests[2], "{digests:?}");
    let json = std::fs::read_to_string(world.dir().join("report-latest/report.json")).expect("a report");
    assert!(json.contains(&format!("\"digest\": \"{}\"", digests[0].as_deref().expect("one"))), "{json}");

    for (args, said) in [
        (["--where", "new:group=old"], "t.times@2 is not served in group old"),
        (["--where", "any:group=nowhere"], ""),
    ] {
        let planned = world.publish(["plan", &flow, "--where", "group=both"].into_iter().chain(args)).await;
        assert!(planned.stderr.contains(said), "{args:?}: {}{}", planned.stdout, planned.stderr);
    }
    let shown = world.publish(["functions", "show", "t.times"]).await.stdout;
    assert!(shown.starts_with("t.times@2") && shown.contains("  1        "), "{shown}");
}
