//! What can become of a call.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

async fn run(registry: &Registry, input: &str) -> Ending {
    run_in(registry, Context::detached(), input).await
}

async fn run_in(registry: &Registry, context: Context, input: &str) -> Ending {
    let native = registry.iter().next().expect("one");
    native.run(context, Bytes::from(input.to_owned())).await
}

async fn call(input: &str) -> Ending {
    let mut registry = Registry::default();
    registry
        .add("t.check", "", |_, n: u32| async move {
            assert!(n != 7, "seven is out");
            if n > 7 { Err(Failed::from("too much")) } else { Ok(n * 2) }
        })
        .expect("a name");
    run(&registry, input).await
}

#[tokio::test]
async fn every_way_to_end_is_an_outcome() {
    assert_eq!(call("3").await.output.as_deref(), Some(b"6".as_slice()));
    let failed = call("9").await;
    assert_eq!((failed.kind, failed.error.expect("why").message.as_str()), (OutcomeKind::Failed, "too much"));
    let panicked = call("7").await.error.expect("why");
    assert_eq!((panicked.kind.as_str(), panicked.message.as_str()), ("Panicked", "seven is out"));
    let unfit = call("\"x\"").await.error.expect("why");
    assert_eq!(unfit.message, "the input does not fit: expected a whole number from 0, got the text \"x\"");
}

#[derive(Deserialize, JsonSchema)]
struct Disk {
    /// Its device.
    device: String,
    sizes: Vec<u64>,
}

fn disks() -> Registry {
    let mut registry = Registry::default();
    let check = |context: Context, disk: Disk| async move {
        context.log(format!("looking at {}", disk.device));
        context.expect_eq("parts", &disk.sizes.len(), &2);
        match disk.device.as_str() {
            "none" => return Err(skip("there is no disk")),
            "bad" => return Err(fail("it is broken")),
            "odd" => drop(disk.device.parse::<u32>()?),
            "slow" => std::future::pending().await,
            "target" => return Ok(context.address("devices")?.to_owned()),
            "secret" => return Ok(context.secret("TOKEN")?.to_owned()),
            _ => {}
        }
        Ok(disk.device)
    };
    registry
        .function("disks.check@2")
        .doc("Looks.")
        .tags(["disk"])
        .queue("slow")
        .serve(check)
        .expect("names");
    registry
}

#[tokio::test]
async fn a_function_can_pass_fail_skip_and_err() {
    let registry = disks();
    let ending =
        async |device: &str| run(&registry, &json!({"device": device, "sizes": [1, 2]}).to_string()).await;
    let why = |ending: Ending| {
        let error = ending.error.expect("it did not pass");
        (ending.kind, error.kind, error.message)
    };
    let passed = ending("sda").await;
    assert_eq!((passed.kind, passed.tail.as_str()), (OutcomeKind::Passed, "looking at sda\n"));
    assert!(passed.assertions[0].passed);
    let (kind, _, message) = why(ending("none").await);
    assert_eq!((kind, message.as_str()), (OutcomeKind::Skipped, "there is no disk"));
    assert_eq!(why(ending("bad").await).0, OutcomeKind::Failed);
    let (kind, what, message) = why(ending("odd").await);
    assert_eq!((kind, what.as_str()), (OutcomeKind::Error, "ParseIntError"));
    assert_eq!(message, "invalid digit found in string");
    assert_eq!(why(ending("target").await).2, "the target has no \"devices\"; it has: nothing");
    assert!(why(ending("secret").await).2.contains("secrets: [TOKEN]"));
}

#[tokio::test]
async fn what_did_not_hold_fails_it_with_its_output() {
    let ending = run(&disks(), r#"{"device": "sda", "sizes": [1]}"#).await;
    assert_eq!(ending.kind, OutcomeKind::Failed);
    assert_eq!(ending.output.as_deref(), Some(b"\"sda\"".as_slice()));
    let message = ending.error.expect("why").message;
    assert_eq!(message, "1 of 1 expectations did not hold\nparts: expected 2, seen 1");
}

#[tokio::test(start_paused = true)]
async fn what_it_told_is_kept_when_it_is_cut_off() {
    let input = r#"{"device": "slow", "sizes": []}"#;
    let timed_out = run(&disks(), input).await;
    assert_eq!(timed_out.error.expect("why").kind, kind::TIMED_OUT);
    assert_eq!((timed_out.tail.as_str(), timed_out.assertions.len()), ("looking at slow\n", 1));
    let context = Context::detached();
    context.cancel.cancel();
    assert_eq!(run_in(&disks(), context, input).await.kind, OutcomeKind::Cancelled);
}

#[tokio::test]
async fn input_that_does_not_fit_says_where() {
    let registry = disks();
    let says = async |input: &str| run(&registry, input).await.error.expect("why").message;
    let path = says(r#"{"device": "a", "sizes": [1, -2]}"#).await;
    assert_eq!(path, "the input does not fit: sizes[1]: expected a whole number from 0, got -2");
    assert_eq!(says(r#"{"device": "a"}"#).await, "the input does not fit: there is no \"sizes\"");
    assert_eq!(says("7").await, "the input does not fit: expected an object, got 7");
    let list = says(r#"{"device": ["a"], "sizes": []}"#).await;
    assert_eq!(list, "the input does not fit: device: expected a text, got a list");
}

#[test]
fn the_catalogue_gets_schemas_and_all_that_was_said() {
    let registry = disks();
    let about = &registry.iter().next().expect("one").about;
    assert_eq!(
        (about.name.as_str(), about.version.as_str(), about.queue.as_str()),
        ("disks.check", "2", "slow")
    );
    assert_eq!(about.input["properties"]["device"], json!({"type": "string", "description": "Its device."}));
    assert_eq!(about.input["required"], json!(["device", "sizes"]));
    assert_eq!(about.output["type"], "string");
    let mut any = Registry::default();
    let echo = |_, input: Value| async { Ok(input) };
    let about = any.function("t.echo").serve(echo).expect("a name").iter().next().expect("one").about.clone();
    assert_eq!((&about.input, &about.output), (&Value::Null, &Value::Null));
    assert!(any.function("not a name").doc("x").serve(echo).is_err());
    assert!(any.function("t.x").queue("Not One").serve(echo).is_err());
}
