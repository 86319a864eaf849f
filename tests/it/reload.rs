//! Pools that change while a worker serves them.

use rfx_schemas::record::FunctionRecord;
use rfx_schemas::topology::Bucket;
use rfx_tests::eventually;
use rfx_tests::process::Process;
use rfx_tests::world::World;
use rfx_transport::Transport;
use rustix::process::Signal;

/// A module whose functions give back a word. One of them waits for a file before it does.
fn module(word: &str) -> String {
    format!(
        "\
import os
import pathlib
import time
import rfx

HERE = pathlib.Path(__file__).parent.parent

@rfx.function(name=\"t.word\")
def word() -> str:
    return \"{word}\"

@rfx.function(name=\"t.hold\")
def hold() -> str:
    (HERE / \"begun.part\").write_text(str(os.getppid()))
    (HERE / \"begun.part\").rename(HERE / \"begun\")
    while not (HERE / \"go\").exists():
        time.sleep(0.01)
    return word()
"
    )
}

struct Pool<'a> {
    world: &'a World,
    transport: Transport,
}

impl<'a> Pool<'a> {
    async fn new(world: &'a World) -> Self {
        world.file("pool/pool.toml", "name = \"p\"\n");
        world.file("pool/words.py", &module("one"));
        Self { world, transport: world.transport().await }
    }

    fn write(&self, name: &str, text: &str) {
        self.world.file(&format!("pool/{name}"), text);
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.world.dir().join("pool").join(name)).expect("it was there");
    }

    fn worker(&self, name: &str, args: &[&str]) -> Process {
        let mut command = self.world.command("rfx-worker");
        command.args(["--pool", "pool", "--python", &rfx_tests::process::python()]).args(args);
        Process::start(&mut command, &self.world.dir().join(name))
    }

    /// What the catalogue says of a function.
    async fn record(&self, name: &str) -> Option<FunctionRecord> {
        let all: Vec<FunctionRecord> = self.transport.kv_list(Bucket::Functions, ">").await.ok()?;
        all.into_iter().find(|function| function.name.as_str() == name)
    }

    async fn digest(&self, name: &str) -> Option<String> {
        self.record(name).await?.digest
    }

    /// Writes a file, and waits until a function of it is announced with other code.
    async fn change(&self, file: &str, text: &str, function: &str) {
        let before = self.digest(function).await;
        self.write(file, text);
        eventually(&format!("{function} is announced anew"), async || {
            self.digest(function).await.filter(|now| Some(now) != before.as_ref()).map(drop)
        })
        .await;
    }

    async fn is_gone(&self, function: &str) {
        eventually(&format!("{function} is not in the catalogue"), async || {
            self.record(function).await.is_none().then_some(())
        })
        .await;
    }

    /// What a call prints and its exit code.
    async fn call(&self, function: &str) -> (i32, String) {
        let called = self.world.publish(["call", function]).await;
        (called.code, called.stdout + &called.stderr)
    }

    async fn gives(&self, function: &str, word: &str) {
        let (code, printed) = self.call(function).await;
        assert!(
            code == 0 && printed.contains(&format!("\"{word}\"")),
            "{function}: {word}? {code} {printed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_ends_as_it_began_and_the_next_is_new() {
    let world = World::new().await;
    let pool = Pool::new(&world).await;
    let worker = pool.worker("worker.log", &["--reload"]);
    worker.printed("serving").await;
    pool.gives("t.word", "one").await;
    let mut call = world.command("rfx-publish");
    let mut holding = Process::start(call.args(["call", "t.hold"]), &world.dir().join("hold.log"));
    let zygote =
        eventually("it holds", async || std::fs::read_to_string(world.dir().join("begun")).ok()).await;
    // As long as the word before, and within the same second: Python alone would not see the difference.
    for word in ["two", "six", "ten"] {
        pool.change("words.py", &module(word), "t.word").await;
        pool.gives("t.word", word).await;
    }
    assert!(std::fs::exists(format!("/proc/{zygote}")).expect("it can be asked"), "it has a call yet");
    world.file("go", "");
    assert!(holding.ended().await.success(), "{}", holding.output());
    assert!(holding.output().contains("\"one\""), "{}", holding.output());
    eventually("the processes of the old pool are gone", async || {
        (!std::fs::exists(format!("/proc/{zygote}")).ok()?).then_some(())
    })
    .await;
    pool.gives("t.word", "ten").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_shown_and_mended() {
    let world = World::new().await;
    let pool = Pool::new(&world).await;
    pool.write(
        "flows/both.yaml",
        "flow: t.both\nsteps:\n  a: { uses: t.word }\noutputs: { word: \"${{ steps.a.output }}\" }\n",
    );
    let worker = pool.worker("worker.log", &["--reload"]);
    worker.printed("serving").await;
    pool.gives("t.word", "one").await;

    // A module that does not import costs its own functions.
    pool.write(
        "more.py",
        "import rfx\n\n@rfx.function(name=\"t.more\")\ndef more() -> str:\n    return \"more\"\n",
    );
    eventually("it is announced", async || pool.record("t.more").await).await;
    pool.gives("t.more", "more").await;
    pool.write("words.py", "import rfx\n\ndef word(:\n");
    pool.is_gone("t.word").await;
    worker.printed("SyntaxError").await;
    assert!(worker.output().contains("def word(:"), "the traceback is shown: {}", worker.output());
    let (code, printed) = pool.call("t.word").await;
    assert!(code == 2 && printed.contains("does not import: words of pool p"), "{code} {printed}");
    pool.gives("t.more", "more").await;
    pool.change("words.py", &module("two"), "t.word").await;
    pool.gives("t.word", "two").await;

    // A pool that cannot be opened is served as it was.
    let refused = async |times: usize| {
        eventually("the pool is refused", async || {
            (worker.output().matches("cannot be opened again").count() == times).then_some(())
        })
        .await;
    };
    pool.write("pool.toml", "name = \"p\"\nnmae = \"q\"\n");
    refused(1).await;
    assert!(worker.output().contains("did you mean name?"), "{}", worker.output());
    pool.gives("t.word", "two").await;
    pool.write("pool.toml", "name = \"p\"\npython = \"9.9\"\n");
    refused(2).await;
    pool.gives("t.word", "two").await;
    pool.write("pool.toml", "name = \"p\"\n");
    pool.remove("more.py");
    pool.is_gone("t.more").await;

    // Flows are announced as functions are.
    pool.change(
        "flows/both.yaml",
        "flow: t.both\nsteps:\n  a: { uses: t.word }\noutputs: { said: \"${{ steps.a.output }}\" }\n",
        "t.both",
    )
    .await;
    world.file("use.yaml", "flow: use\nsteps:\n  a: { uses: t.both, expect: output.said == 'two' }\n");
    let ran = world.publish(["run", "use.yaml"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(worker.output().matches("cannot be opened again").count(), 2, "{}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_stays_in_the_catalogue_while_another_worker_serves_it() {
    let world = World::new().await;
    let pool = Pool::new(&world).await;
    pool.write(
        "more.py",
        "import rfx\n\n@rfx.function(name=\"t.more\")\ndef more() -> str:\n    return \"more\"\n",
    );
    let mut stays = pool.worker("stays.log", &[]);
    stays.printed("serving").await;
    let [follows, follows_too] = ["one.log", "two.log"].map(|name| pool.worker(name, &["--reload"]));
    follows.printed("serving").await;
    follows_too.printed("serving").await;
    pool.remove("more.py");
    for worker in [&follows, &follows_too] {
        worker.printed("gone=1").await;
    }
    assert!(pool.record("t.more").await.is_some(), "one of them serves it still");
    assert!(!pool.world.publish(["functions", "list"]).await.stdout.contains("stopped"));
    stays.signal(Signal::TERM);
    assert!(stays.ended().await.success());
    pool.is_gone("t.more").await;
    let removed =
        [&follows, &follows_too].map(|worker| worker.output().contains("nobody serves it any more"));
    assert_eq!(removed.iter().filter(|removed| **removed).count(), 1, "by the one that announced it last");
    assert!(pool.record("t.word").await.is_some());
}
