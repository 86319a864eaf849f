//! A worker in the test's own process, with native functions that call others. What they do is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rfx_config::settings::{Nats, Settings};
use rfx_config::telemetry::Spans;
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::topology::Bucket;
use rfx_tests::eventually;
use rfx_tests::world::World;
use rfx_transport::Transport;
use rfx_transport::connect::connect;
use rfx_worker::native::{Context, Failed, NotPassed, Registry};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the functions of all workers of a test have done.
#[derive(Default)]
pub struct Seen {
    /// Executions of `t.leaf` under way, the most at once, and all of them.
    pub under_way: AtomicUsize,
    pub most: AtomicUsize,
    pub leaves: AtomicUsize,
    /// Executions of `t.parent` and `t.fickle` that have begun, and have come back from their calls.
    pub begun: AtomicUsize,
    pub back: AtomicUsize,
    /// What `t.hold` waits for.
    pub go_on: Notify,
    /// What `t.drop` was called with, in order.
    pub dropped: std::sync::Mutex<Vec<String>>,
}

/// A worker; gone without a word when dropped, as if it was killed.
pub struct Native {
    serving: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Native {
    /// Ends as on SIGTERM.
    pub async fn end(mut self) {
        self.shutdown.cancel();
        (&mut self.serving).await.expect("no panic");
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Starts a worker with these slots in `main`, and waits until its functions are announced.
pub async fn worker(world: &World, slots: u32, seen: &Arc<Seen>) -> Native {
    worker_as(&world.nats(), &world.transport().await, slots, seen).await
}

/// The same as the user of these settings; `reader` sees whether its functions are announced.
pub async fn worker_as(nats: &Nats, reader: &Transport, slots: u32, seen: &Arc<Seen>) -> Native {
    let mut settings = Settings::default().worker;
    settings.slots = BTreeMap::from([("main".parse().expect("a queue"), slots)]);
    settings.pools = Vec::new();
    settings.drain = Duration::from_secs(30);
    let transport = connect(nats, "rfx-worker").await.expect("the server is there");
    let shutdown = CancellationToken::new();
    let (ended, registry) = (shutdown.clone(), registry(seen));
    let serving = tokio::spawn(async move {
        let served = rfx_worker::run(&settings, transport, registry, Spans::default(), ended).await;
        served.expect("it serves");
    });
    eventually("the functions are announced", async || {
        let known: Vec<FunctionRecord> = reader.kv_list(Bucket::Functions, ">").await.ok()?;
        known.iter().any(|f| f.name.as_str() == "t.parent").then_some(())
    })
    .await;
    Native { serving, shutdown }
}

/// The input of `t.answer`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wanted {
    kinds: Vec<String>,
    output: Value,
    calls: Vec<Value>,
    undos: Vec<Value>,
}

/// `t.answer` of the table of cases.
async fn answer(ctx: Context, wanted: Wanted) -> Result<Value, Failed> {
    for input in &wanted.undos {
        ctx.undo("t.answer", input).await.map_err(failed)?;
    }
    for input in &wanted.calls {
        // What it comes to makes no difference here.
        drop(ctx.call("t.answer", input).await);
    }
    let attempt = ctx.attempt.get() as usize;
    let kind = wanted.kinds.get(attempt - 1).or(wanted.kinds.last()).map_or("passed", String::as_str);
    match kind {
        "failed" => Err(Failed::from("it was told to")),
        "error" => panic!("it was told to"),
        _ => Ok(wanted.output),
    }
}

/// Calls `t.leaf`, or another one, so often, one after the other.
async fn parent(seen: Arc<Seen>, ctx: Context, input: Value) -> Result<Value, Failed> {
    seen.begun.fetch_add(1, Ordering::SeqCst);
    let mut all = Vec::new();
    for n in 0..input["calls"].as_u64().unwrap_or(1) {
        let uses = input["uses"].as_str().unwrap_or("t.leaf");
        all.push(ctx.call(uses, &json!({"n": n, "ms": input["ms"]})).await.map_err(failed)?);
    }
    seen.back.fetch_add(1, Ordering::SeqCst);
    if input["hold"] == true {
        seen.go_on.notified().await;
    }
    Ok(json!(all))
}

async fn leaf(seen: Arc<Seen>, input: Value) -> Result<Value, Failed> {
    let now = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    seen.leaves.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(input["ms"].as_u64().unwrap_or(1))).await;
    seen.under_way.fetch_sub(1, Ordering::SeqCst);
    Ok(input["n"].clone())
}

/// Calls with another input each time that it is executed, and minds no refusal.
async fn fickle(seen: Arc<Seen>, ctx: Context) -> Result<Value, Failed> {
    let n = seen.begun.fetch_add(1, Ordering::SeqCst);
    drop(ctx.call("t.leaf", &json!({"n": n})).await);
    seen.back.fetch_add(1, Ordering::SeqCst);
    if n == 0 {
        seen.go_on.notified().await;
    }
    Ok(json!("passed in spite of all"))
}

/// Makes something, which `t.drop` takes away; then it ends as it is told to.
async fn make(seen: Arc<Seen>, ctx: Context, input: Value) -> Result<Value, Failed> {
    for name in input["names"].as_array().into_iter().flatten() {
        ctx.undo("t.drop", &json!({"name": name, "fails": input["stuck"]})).await.map_err(failed)?;
    }
    seen.begun.fetch_add(1, Ordering::SeqCst);
    match input["then"].as_str() {
        Some("fail") => Err(Failed::from("it was told to")),
        Some("hold") => {
            seen.go_on.notified().await;
            Ok(Value::Null)
        }
        _ => Ok(input["names"].clone()),
    }
}

async fn take_away(seen: Arc<Seen>, input: Value) -> Result<Value, Failed> {
    let name = input["name"].as_str().unwrap_or_default().to_owned();
    if input["fails"].as_str() == Some(&name) {
        return Err(Failed(format!("{name} is in use")));
    }
    seen.dropped.lock().expect("no panic").push(name);
    Ok(Value::Null)
}

/// Calls itself without end.
async fn deep(ctx: Context, _: Value) -> Result<Value, Failed> {
    ctx.call("t.deep", &Value::Null).await.map_err(failed)
}

/// What did not pass inside is a failure here.
fn failed(inner: NotPassed) -> Failed {
    match inner {
        NotPassed::Failed(why) | NotPassed::Error(why) => Failed(format!("{}: {}", why.kind, why.message)),
        NotPassed::Skipped(why) => Failed(why),
    }
}

fn registry(seen: &Arc<Seen>) -> Registry {
    let mut registry = Registry::default();
    let named = "a name";
    registry.add("t.answer", "", answer).expect(named);
    registry.add("t.deep", "", deep).expect(named);
    let s = Arc::clone(seen);
    registry.add("t.parent", "", move |ctx, input| parent(Arc::clone(&s), ctx, input)).expect(named);
    let s = Arc::clone(seen);
    registry.add("t.leaf", "", move |_, input: Value| leaf(Arc::clone(&s), input)).expect(named);
    let s = Arc::clone(seen);
    registry.add("t.fickle", "", move |ctx, _: Value| fickle(Arc::clone(&s), ctx)).expect(named);
    let s = Arc::clone(seen);
    registry.add("t.make", "", move |ctx, input| make(Arc::clone(&s), ctx, input)).expect(named);
    let s = Arc::clone(seen);
    registry.add("t.drop", "", move |_, input: Value| take_away(Arc::clone(&s), input)).expect(named);
    registry
}
