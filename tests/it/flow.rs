//! Flows end to end: what a user sees when all goes well, and when the test says no.

use rfx_schemas::verdict::Verdict;
use rfx_tests::process::root;
use rfx_tests::world::World;

/// A pool with functions that pass, fail, crash and time out.
pub fn pool(world: &World) -> String {
    let code = "\
import os, time
import rfx

@rfx.function(name=\"t.double\")
def double(n: int) -> int:
    print(f\"doubling {n}\")
    return n * 2

@rfx.function(name=\"t.check\")
def check(n: int) -> int:
    assert n < 2, f\"{n} is too much\"
    return n

@rfx.function(name=\"t.crash\")
def crash() -> None:
    os._exit(3)

@rfx.function(name=\"t.hang\")
def hang() -> None:
    time.sleep(600)

@rfx.function(name=\"t.flaky\")
def flaky(ctx: rfx.Context) -> int:
    if ctx.attempt == 1:
        raise ValueError(\"not yet\")
    return ctx.attempt
";
    world.file("pool/pool.toml", "name = \"t\"\n");
    world.file("pool/t.py", code);
    world.dir().join("pool").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_with_every_outcome_is_reported_as_it_ended() {
    let mut world = World::new().await;
    let pool = pool(&world);
    let flow = world.file(
        "flow.yaml",
        "flow: outcomes\n\
         inputs: { limit: { type: integer, default: 7 } }\n\
         data: { rows: rows.csv }\n\
         setup:\n  base: { uses: t.double, with: { n: 4 } }\n\
         steps:\n\
         \x20 each: { uses: t.double, each: \"${{ data.rows }}\", with: { n: \"${{ item.n }}\" }, expect: output <= inputs.limit }\n\
         \x20 read: { uses: t.double, with: { n: \"${{ setup.base.output + 1 }}\" }, expect: \"output == 18\" }\n\
         \x20 check: { uses: t.check, each: [1, 2], with: { n: \"${{ item }}\" } }\n\
         \x20 crash: { uses: t.crash }\n\
         \x20 hang: { uses: t.hang, timeout: 1s }\n\
         \x20 flaky: { uses: t.flaky, retry: { max_attempts: 2, backoff: 10ms } }\n\
         \x20 after: { uses: t.double, needs: [crash], with: { n: 1 } }\n\
         \x20 off: { uses: t.double, if: inputs.limit > 100, with: { n: 1 } }\n\
         teardown:\n  drop: { uses: t.double, with: { n: \"${{ setup.base.output }}\" } }\n\
         outputs: { doubled: \"${{ steps.each.output }}\" }\n",
    );
    world.file("rows.csv", "name,n:int\na,1\nb,3\nc,5\n");
    let _worker = world.worker(["--pool", &pool]).await;
    let ran = world.publish(["run", flow.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    let verdicts: Vec<_> =
        report.steps.iter().map(|s| (s.name.as_str(), s.verdict.expect("ended"))).collect();
    assert_eq!(
        verdicts,
        [
            ("base", Verdict::Passed),
            ("each", Verdict::Failed),
            ("read", Verdict::Passed),
            ("check", Verdict::Failed),
            ("crash", Verdict::Error),
            ("hang", Verdict::Error),
            ("flaky", Verdict::Flaky),
            ("after", Verdict::Skipped),
            ("off", Verdict::Skipped),
            ("drop", Verdict::Passed),
        ]
    );
    let each = &report.steps[1];
    assert_eq!(each.counts.passed, 2, "c doubles to more than the limit");
    let failed = each.jobs[2].attempts[0].detail.as_ref().expect("kept");
    assert_eq!(failed.assertions[0].seen.as_deref(), Some("10"));
    assert_eq!(failed.tail, "doubling 5\n");
    let text = ran.stdout;
    for part in [
        "output <= inputs.limit",
        "2 is too much",
        "exit code 3",
        "steps.crash did not pass",
        "its condition is false",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_inputs_target_and_place_are_chosen_at_run_time_with_nothing_edited() {
    let mut world = World::new().await;
    let flow = world.file(
        "flow.yaml",
        "flow: choose\n\
         inputs: { add: { type: integer, default: 1 } }\n\
         data: { rows: rows.json }\n\
         target: { api: \"http://nowhere\" }\n\
         steps:\n  one: { uses: rfx.echo, each: \"${{ data.rows }}\", with: { v: \"${{ item + inputs.add }}\", at: \"${{ target.api }}\" } }\n\
         outputs: { all: \"${{ steps.one.output }}\" }\n",
    );
    world.file("rows.json", "[1]");
    let other = world.file("other.json", "[10, 20]");
    let _a = world.worker(["--group", "a", "--label", "provider=aws"]).await;
    let _b = world.worker(["--group", "b", "--label", "provider=azure"]).await;
    let data = format!("rows={}", other.display());
    let ran = world
        .publish([
            "run",
            flow.to_str().expect("a path"),
            "--data",
            &data,
            "--input",
            "add=5",
            "--target",
            "api=http://here",
            "--where",
            "provider=azure",
        ])
        .await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    assert_eq!(report.steps[0].group, "b");
    let expected =
        serde_json::json!({"all": [{"v": 15, "at": "http://here"}, {"v": 25, "at": "http://here"}]});
    assert_eq!(report.outputs, Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_above_the_servers_limit_go_by_blob() {
    let mut world = World::new().await;
    let big = "x".repeat(3 << 20);
    world.file("big.json", &serde_json::json!([big]).to_string());
    let flow = world.file(
        "flow.yaml",
        "flow: big\ndata: { rows: big.json }\nsteps:\n\
         \x20 echo: { uses: rfx.echo, each: \"${{ data.rows }}\", with: { text: \"${{ item }}\" }, expect: size(output.text) == 3145728 }\n\
         \x20 again: { uses: rfx.echo, with: { all: \"${{ steps.echo.output }}\" }, expect: \"output.all[0].text.startsWith('xxx')\" }\n",
    );
    let _worker = world.worker([]).await;
    let ran = world.publish(["run", flow.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_articles_flow_passes_and_fails_when_a_service_misbehaves() {
    let mut world = World::new().await;
    let pool = root().join("examples/pool").display().to_string();
    let _worker = world.worker(["--pool", &pool]).await;
    let flow = root().join("examples/flows/host_vulnerabilities.yaml").display().to_string();
    for (broken, code) in [(None, 0), (Some("applications"), 1)] {
        let services = crate::services::Services::start(&world, broken).await;
        let mut args = vec!["run", &flow];
        args.extend(services.targets.iter().flat_map(|t| ["--target", t.as_str()]));
        let ran = world.publish(args).await;
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        if broken.is_some() {
            for part in ["evaluate", "db-1", "--- expected", "+++ seen", "output.apps.map(v, v.id)"] {
                assert!(ran.stdout.contains(part), "{part:?} is not in\n{}", ran.stdout);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_composites_and_the_flow_that_combines_them_run_as_one() {
    let mut world = World::new().await;
    let pool = root().join("examples/pool").display().to_string();
    let _worker = world.worker(["--pool", &pool]).await;
    let flow = root().join("examples/flows/fleet.yaml").display().to_string();
    for (broken, code) in [(None, 0), (Some("applications"), 1)] {
        let services = crate::services::Services::start(&world, broken).await;
        let mut args = vec!["run", &flow, "--pool", &pool];
        args.extend(services.targets.iter().flat_map(|t| ["--target", t.as_str()]));
        let ran = world.publish(args).await;
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        let report = world.report("latest").await;
        let step = |name: &str| report.steps.iter().find(|s| s.name == name).expect("it is in the report");
        assert_eq!(step("validate").counts.passed, 4, "a host each, inside of registered");
        match broken {
            None => {
                let found =
                    serde_json::json!([["CVE-EX-0001"], ["CVE-EX-0101"], ["CVE-EX-0002", "CVE-EX-0102"], []]);
                assert_eq!(report.outputs, Some(serde_json::json!({ "found": found })));
            }
            Some(_) => {
                assert_eq!(step("evaluate").counts.failed, 2, "{}", ran.stdout);
                assert_eq!(step("renewed").verdict, Some(Verdict::Skipped));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_extends_another_has_its_data() {
    let mut world = World::new().await;
    world.file("rows.json", "[1, 2, 3]");
    world.file("other.json", "[7]");
    world.file(
        "base.yaml",
        "flow: base\ndata: { rows: rows.json }\nsteps:\n\
         \x20 a: { uses: rfx.echo, each: \"${{ data.rows }}\", with: { n: \"${{ item }}\" } }\n\
         outputs: { all: \"${{ steps.a.output.map(o, o.n) }}\" }\n",
    );
    world.file("more.yaml", "flow: more\nextends: base\n");
    world.file("most.yaml", "flow: most\nextends: more\n");
    let user = "flow: user\nsteps: { a: { uses: most } }\noutputs: { all: \"${{ steps.a.output.all }}\" }\n";
    world.file("user.yaml", user);
    let _worker = world.worker([]).await;
    let runs: [(&[&str], _); 3] = [
        (&["run", "most.yaml"], serde_json::json!([1, 2, 3])),
        (&["run", "more.yaml", "--data", "rows=other.json"], serde_json::json!([7])),
        (&["run", "user.yaml"], serde_json::json!([1, 2, 3])),
    ];
    for (args, expected) in runs {
        let ran = world.publish(args.iter().copied()).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(world.report("latest").await.outputs, Some(serde_json::json!({ "all": expected })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_records_without_bounds_stays_a_failed_test() {
    let mut world = World::new().await;
    world.file("pool/pool.toml", "name = \"p\"\n");
    let code = "import rfx\n\n\n@rfx.function(name=\"p.many\")\ndef many(ctx: rfx.Context) -> int:\n    for n in range(400):\n        ctx.expect(\"x\" * 10_000, \"y\" * 10_000, f\"number {n}\")\n    return 1\n";
    world.file("pool/p.py", code);
    let flow = world.file("flow.yaml", "flow: many\nsteps:\n  a: { uses: p.many }\n");
    let pool = world.dir().join("pool").display().to_string();
    let _worker = world.worker(["--pool", &pool]).await;
    let ran = world.publish(["run", flow.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    let job = &report.steps[0].jobs[0];
    assert_eq!((job.verdict, job.attempts[0].deliveries), (Some(Verdict::Failed), 1));
    let detail = job.attempts[0].detail.as_ref().expect("kept");
    assert!(detail.assertions.last().expect("a note").label.contains("300 more assertions were left out"));
}
