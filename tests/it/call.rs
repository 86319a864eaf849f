//! `rfx-publish call`: one function as a run of one job, for scripts and for looking.

use std::process::Stdio;

use rfx_tests::process::{Process, run, with};
use rfx_tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_prints_the_output_alone_and_ends_as_a_run_does() {
    let mut world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file(
        "pool/twice.yaml",
        "flow: t.twice\ninputs: { n: { type: integer } }\n\
         steps:\n  once: { uses: t.double, with: { n: \"${{ inputs.n }}\" } }\n  again: { uses: t.double, with: { n: \"${{ steps.once.output }}\" } }\n\
         outputs: { n: \"${{ steps.again.output }}\" }\n",
    );
    let _worker = world.worker(["--pool", &pool]).await;
    let called = world.publish(["call", "t.double", "--set", "n=4", "--report", "report"]).await;
    assert_eq!((called.code, called.stdout.as_str()), (0, "8\n"), "{}", called.stderr);
    assert!(called.stderr.contains("passed") && world.dir().join("report/junit.xml").exists());

    let flow = world.publish(["call", "t.twice", "--input", "{\"n\": 3}", "--quiet"]).await;
    assert_eq!((flow.code, flow.stdout.as_str()), (0, "{\"n\":12}\n"), "{}", flow.stderr);

    let failed = world.publish(["call", "t.check", "--set", "n=5"]).await;
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{}", failed.stderr);
    assert!(failed.stderr.contains("5 is too much"), "{}", failed.stderr);

    world.file("input.json", "{\n  \"n\": \"four\"\n}\n");
    let unfit = world.publish(["call", "t.double", "--input", "@input.json"]).await;
    assert_eq!(unfit.code, 2, "{}", unfit.stdout);
    for part in ["input.json:2:8", "n: expected a whole number, got a text"] {
        assert!(unfit.stderr.contains(part), "{part:?} is not in\n{}", unfit.stderr);
    }
    let missing = world.publish(["call", "t.double@1"]).await;
    assert!(missing.stderr.contains("t.double@1 needs n"), "{}", missing.stderr);
    let unknown = world.publish(["call", "t.duble"]).await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean t.double?"), "{}", unknown.stderr);
    let runs = world.publish(["runs"]).await;
    assert_eq!(runs.stdout.matches("call.t.").count(), 3, "what does not fit is no run\n{}", runs.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_its_input_from_a_pipe_and_its_place_and_secrets_from_flags() {
    let world = World::new().await;
    let pool = crate::flow::pool(&world);
    world.file(
        "pool/login.py",
        "import rfx\n\n@rfx.function(name=\"t.login\")\ndef login(user: str, ctx: rfx.Context) -> list[str]:\n    assert ctx.secret(\"API_TOKEN\") == \"hunter2-hunter2\"\n    return [user, ctx.target[\"api\"]]\n",
    );
    let mut command = world.command("rfx-worker");
    command.env("RFX_SECRET_API_TOKEN", "hunter2-hunter2").args(["--pool", &pool, "--group", "aws"]);
    let worker = Process::start(&mut command, &world.dir().join("worker.log"));
    worker.printed("serving").await;
    let input = world.file("input.json", "{\"user\": \"${{ not a template }}\"}");
    let mut call = with(
        world.command("rfx-publish"),
        ["call", "t.login", "--input", "-", "--group", "aws", "--secret", "API_TOKEN", "--timeout", "20s"],
    );
    call.args(["--target", "api=http://here", "--require-workers"]);
    call.stdin(Stdio::from(std::fs::File::open(input).expect("it is there")));
    let called = run(call).await;
    let expected = "[\"${{ not a template }}\",\"http://here\"]\n";
    assert_eq!((called.code, called.stdout.as_str()), (0, expected), "{}", called.stderr);
}
