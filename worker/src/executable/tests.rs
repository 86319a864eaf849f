//! The contract of `docs/executables.md`, one case a line, with `/bin/sh` as the program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn declared(exec: &[&str]) -> Declared {
    let exec = json!(exec);
    let text = format!("name = \"t\"\n[[function]]\nname = \"t.f\"\nexec = {exec}\n");
    let manifest = crate::manifest::parse("pool.toml", &text, Path::new(".")).expect("it is right");
    manifest.functions.into_iter().next().expect("one")
}

async fn run_for(script: &str, limit: Duration, cancel: &CancellationToken) -> Ran {
    let executable =
        Executable::find(&declared(&["sh", "-c", script]), Path::new("/"), None, &Mark::default())
            .expect("a shell");
    let target = BTreeMap::from([("devices-1".to_owned(), "http://d".to_owned())]);
    let call = Call {
        kind: "call",
        group: "local",
        queue: "main",
        isolation: rfx_schemas::rules::Isolation::Warm,
        function: "t.f",
        version: None,
        run: "r-1".to_owned(),
        flow: "flow",
        step: "steps.a",
        job: "1-2".to_owned(),
        attempt: 3,
        deadline: 1.5,
        target: &target,
        secrets: BTreeMap::from([("API_TOKEN", "hunter2")]),
        traceparent: "00-ab-cd-01".to_owned(),
        key: Some("web 1"),
    };
    executable.call(&call, &Bytes::from_static(br#"{"n":2}"#), Instant::now() + limit, cancel).await
}

async fn run(script: &str) -> Ending {
    run_for(script, Duration::from_secs(60), &CancellationToken::new()).await.ending
}

fn why(ending: &Ending) -> (&str, &str) {
    let error = ending.error.as_ref().expect("it did not pass");
    (error.kind.as_str(), error.message.as_str())
}

#[tokio::test]
async fn it_gets_its_input_and_its_surroundings() {
    let script = r#"
        cmp - "$RFX_INPUT" || exit 3
        cd "$TMPDIR" && : > scratch
        printf '["%s"]' "$RFX_RUN $RFX_FLOW $RFX_STEP $RFX_JOB $RFX_ATTEMPT $RFX_FUNCTION $RFX_KEY
        $RFX_DEADLINE $RFX_TARGET_DEVICES_1 $RFX_SECRET_API_TOKEN $TRACEPARENT $RFX_POOL" | tr -s '\n ' '  ' > "$RFX_OUTPUT"
    "#;
    let ending = run(script).await;
    assert_eq!(ending.error, None, "{}", ending.tail);
    let output: Value = serde_json::from_slice(&ending.output.expect("one")).expect("JSON");
    let expected = "r-1 flow steps.a 1-2 3 t.f web 1 1.500 http://d hunter2 00-ab-cd-01 /";
    assert_eq!(output, json!([expected]));
}

#[tokio::test]
async fn exit_codes_say_how_it_ended() {
    assert_eq!(run("exit 0").await, Ending::of(OutcomeKind::Passed));
    let failed = run(r#"echo '{"seen": 3}' > $RFX_OUTPUT; echo first >&2; echo 'no disk' >&2; exit 1"#).await;
    assert_eq!((failed.kind, why(&failed)), (OutcomeKind::Failed, ("Failed", "no disk")));
    assert_eq!(failed.output.as_deref(), Some(br#"{"seen": 3}"#.as_slice()));
    let silent = run("exit 1").await;
    assert_eq!(why(&silent), ("Failed", "it ended with exit code 1 and did not say why"));
    let skipped = run("echo 'no raid here' >&2; exit 77").await;
    assert_eq!((skipped.kind, why(&skipped)), (OutcomeKind::Skipped, ("Skipped", "no raid here")));
    let error = run("echo 'usage: x' >&2; exit 2").await;
    assert_eq!(error.kind, OutcomeKind::Error);
    assert_eq!(why(&error), ("ExitCode", "usage: x (it ended with exit code 2)"));
    assert_eq!(why(&run("exit 9").await), ("ExitCode", "it ended with exit code 9"));
    let crashed = run("echo bye >&2; kill -SEGV $$").await;
    assert_eq!(crashed.kind, OutcomeKind::Error);
    let (what, message) = why(&crashed);
    assert_eq!(what, kind::CRASHED);
    assert!(message.starts_with("the program was ended by signal 11 (SIGSEGV)"), "{message}");
    assert!(message.ends_with("its last words: bye"), "{message}");
}

#[tokio::test]
async fn it_may_say_more_than_its_last_line() {
    let file =
        run(r#"printf '{"type": "DiskError", "message": "bad", "traceback": "a\\nb"}' > $RFX_ERROR; exit 4"#)
            .await;
    assert_eq!(why(&file), ("DiskError", "bad"));
    assert_eq!(file.error.and_then(|error| error.traceback).as_deref(), Some("a\nb"));
    let plain = run("echo ' in plain words ' > $RFX_ERROR; exit 1").await;
    assert_eq!(why(&plain), ("Failed", "in plain words"));
    let answer = run(r#"echo '{"error": "of the answer"}' > $RFX_OUTPUT; exit 1"#).await;
    assert_eq!(why(&answer), ("Failed", "of the answer"));
    let object = run(r#"echo '{"error": {"type": "X", "message": "y"}}' > $RFX_OUTPUT; exit 3"#).await;
    assert_eq!(why(&object), ("X", "y"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error_with_its_place() {
    let bad = run(r#"printf '{"a": 1,\n "b": oops}' > $RFX_OUTPUT"#).await;
    assert_eq!(bad.kind, OutcomeKind::Error);
    let (what, message) = why(&bad);
    assert!(what == "OutputError" && message.ends_with("line 2 column 7"), "{message}");
    let empty = run(": > $RFX_OUTPUT").await;
    assert!(why(&empty).1.contains("is empty"), "{empty:?}");
    let big = run("truncate -s 65M $RFX_OUTPUT").await;
    assert!(why(&big).1.contains("at most 67108864"), "{big:?}");
    let folder = run("mkdir $RFX_OUTPUT").await;
    assert_eq!(
        why(&folder),
        ("OutputError", "the answer in $RFX_OUTPUT cannot be read: it is no regular file")
    );
}

#[tokio::test]
async fn assertions_and_artifacts_are_kept() {
    let script = r#"
        echo '{"label": "size", "passed": true, "expected": 3, "seen": 3}' >> $RFX_ASSERTIONS
        echo '{"label": "owner", "passed": false, "seen": "root", "message": "not ours"}' >> $RFX_ASSERTIONS
        echo log > $RFX_ARTIFACTS/b.log; echo > $RFX_ARTIFACTS/a.txt; ln -s /etc/passwd $RFX_ARTIFACTS/c
    "#;
    let ran = run_for(script, Duration::from_secs(60), &CancellationToken::new()).await;
    assert_eq!(ran.ending.kind, OutcomeKind::Failed);
    assert_eq!(why(&ran.ending).1, "1 of 2 expectations did not hold\nowner: not ours");
    assert_eq!(ran.ending.assertions[0].seen.as_deref(), Some("3"));
    let names: Vec<_> = ran.artifacts.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["a.txt", "b.log"]);
    let wrong = run("echo nonsense > $RFX_ASSERTIONS").await;
    assert!(why(&wrong).1.starts_with("line 1 of $RFX_ASSERTIONS is no assertion"), "{wrong:?}");
}

#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    for (name, why_not) in [("RFX_OUTPUT", "answer"), ("RFX_ASSERTIONS", "assertions")] {
        for made in [format!("mkfifo ${name}"), format!("ln -s /dev/zero ${name}")] {
            let ending = run(&made).await;
            let expected = format!("the {why_not} in ${name} cannot be read: it is no regular file");
            assert_eq!(why(&ending), ("OutputError", expected.as_str()), "{made}");
        }
    }
    let ending = run("mkfifo $RFX_ERROR; echo why >&2; exit 1").await;
    assert_eq!((ending.kind, why(&ending)), (OutcomeKind::Failed, ("Failed", "why")));
    let script = "mkfifo $RFX_ARTIFACTS/pipe; echo > $RFX_ARTIFACTS/file";
    let ran = run_for(script, Duration::from_secs(60), &CancellationToken::new()).await;
    assert_eq!(ran.ending.kind, OutcomeKind::Passed);
    assert_eq!(ran.artifacts.len(), 1, "{:?}", ran.artifacts);
}

#[tokio::test]
async fn a_flood_is_kept_short_and_a_program_that_does_not_read_is_not_waited_for() {
    let flood = run("echo start; head -c 2000000 /dev/zero | tr '\\0' x; echo end").await;
    assert_eq!(flood.kind, OutcomeKind::Passed);
    assert!(flood.tail.starts_with("start") && flood.tail.ends_with("end\n") && flood.tail.len() < 20_000);
    assert!(flood.tail.contains("bytes left out"));
}

#[tokio::test]
async fn it_is_asked_to_stop_then_killed() {
    let never = CancellationToken::new();
    let polite =
        run_for("trap 'echo cleaned; exit 5' TERM; sleep 100 & wait", Duration::from_millis(300), &never)
            .await;
    assert_eq!(polite.ending.kind, OutcomeKind::Error);
    let (what, message) = why(&polite.ending);
    assert_eq!(what, kind::TIMED_OUT);
    assert!(message.ends_with("asked to stop, it ended with exit code 5"), "{message}");
    assert_eq!(polite.ending.tail, "cleaned\n");
    let stubborn = run_for("trap '' TERM; sleep 100", Duration::from_millis(300), &never).await;
    assert!(why(&stubborn.ending).1.ends_with("and was killed"), "{:?}", stubborn.ending);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cancelled = run_for("sleep 100", Duration::from_secs(60), &cancel).await;
    assert_eq!(cancelled.ending.kind, OutcomeKind::Cancelled);
}

#[test]
fn what_cannot_be_a_program_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("plain.sh"), "#!/bin/sh\n").expect("written");
    let find = |exec: &[&str]| {
        Executable::find(&declared(exec), dir.path(), None, &Mark::default()).expect_err("it is none")
    };
    assert!(find(&["./gone.sh"]).contains("gone.sh cannot be found"));
    assert!(find(&["./plain.sh"]).contains("is not executable: chmod +x "));
    assert!(find(&["plain.sh"]).contains("the one in the pool is \"./plain.sh\""));
    assert!(find(&["./"]).contains("is a folder"));
    assert!(find(&["no-such-program"]).contains("is not on PATH"));
}

#[test]
fn the_digest_is_that_of_what_is_executed() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("check.sh");
    let digest = |text: &str, exec: &[&str]| {
        std::fs::write(&file, text).expect("written");
        Executable::find(&declared(exec), dir.path(), None, &Mark::default()).expect("a shell").digest
    };
    let first = digest("exit 0", &["sh", "check.sh"]);
    assert_eq!(first, digest("exit 0", &["sh", "check.sh"]));
    assert_ne!(first, digest("exit 1", &["sh", "check.sh"]), "a script of the pool counts");
    assert_ne!(first, digest("exit 0", &["sh", "check.sh", "-v"]), "so do arguments");
}
