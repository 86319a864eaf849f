//! A worker with functions in Rust: the example, against a real server.

use rfx_schemas::verdict::Verdict;
use rfx_tests::process::root;
use rfx_tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_worker_serves_its_functions() {
    let mut world = World::new().await;
    let worker = world.start("native-worker", []);
    worker.printed("serving").await;
    let flow = root().join("examples/native-worker/ports.yaml").display().to_string();
    let port = world.url().rsplit(':').next().expect("a port").to_owned();
    let ran = world.publish(["run", &flow, "--input", &format!("port={port}")]).await;
    assert_eq!(ran.code, 0, "{}{}{}", ran.stdout, ran.stderr, worker.output());
    let shown = world.publish(["functions", "show", "ports.greeting"]).await;
    for part in ["ports.greeting@2", "compares how it begins", "\"begins\"", "What it should begin with."] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    let refused = world.publish(["run", &flow, "--input", "port=nine"]).await;
    assert_eq!(refused.code, 2, "schemas are known before anything runs: {}", refused.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_skips_and_errs_as_functions_in_python_do() {
    let mut world = World::new().await;
    let worker = world.start("native-worker", []);
    worker.printed("serving").await;
    let port = world.url().rsplit(':').next().expect("a port").to_owned();
    world.file(
        "flow.yaml",
        &format!(
            "flow: x\nsteps:\n\
             \x20 shut: {{ uses: ports.open, with: {{ host: 127.0.0.1, port: 1 }} }}\n\
             \x20 web: {{ uses: ports.greeting, with: {{ host: 127.0.0.1, port: 443, begins: x }} }}\n\
             \x20 other: {{ uses: ports.greeting, with: {{ host: 127.0.0.1, port: {port}, begins: HELO }} }}\n\
             \x20 nowhere: {{ uses: ports.open, with: {{ host: nowhere.invalid, port: 1 }} }}\n\
             \x20 sleep: {{ uses: rfx.sleep, with: {{ seconds: -1 }} }}\n"
        ),
    );
    let ran = world.publish(["run", "flow.yaml", "--require-workers"]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let report = world.report("latest").await;
    let of = |name: &str| {
        let step = report.steps.iter().find(|step| step.name == name).expect("it is there");
        let detail = step.jobs[0].attempts[0].detail.clone().expect("kept");
        let error = detail.error.clone().expect("it did not pass");
        (step.verdict.expect("ended"), error.message, detail)
    };
    let (verdict, message, detail) = of("shut");
    assert_eq!((verdict, message.as_str()), (Verdict::Failed, "nothing listens on 127.0.0.1:1"));
    assert_eq!(detail.tail, "connecting to 127.0.0.1:1\n");
    assert_eq!(of("web").0, Verdict::Skipped);
    let (verdict, message, detail) = of("other");
    assert_eq!(verdict, Verdict::Failed);
    assert!(message.contains("it begins with: expected \"HELO\", seen \"INFO\""), "{message}");
    assert_eq!(detail.assertions[0].seen.as_deref(), Some("\"INFO\""));
    assert_eq!(of("nowhere").0, Verdict::Error);
    let (verdict, message, _) = of("sleep");
    assert_eq!(verdict, Verdict::Error);
    assert_eq!(message, "the input does not fit: seconds: -1 is no time to wait");
}
