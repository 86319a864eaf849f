//! The examples of docs/flows.md, run. In its fenced blocks
//!
//! - ` ```yaml` is a flow, written to `flow.yaml` in a folder of its own and run;
//! - ` ```yaml hosts/add.yaml`, ` ```csv hosts.csv` and so on, with a path, are files: they lie beside
//!   every flow that follows under the same heading;
//! - ` ```sh` holds command lines, run in the folder of the flow before them;
//! - `<!-- run: --only a; exit: 1 -->` above a block adds arguments and says the exit code; 0 unless said.

use std::collections::BTreeSet;

use rfx_tests::process::{Process, root, run};
use rfx_tests::world::World;
use serde_json::Value;

use crate::pages::{Block, Part, parts};

/// A command line's words, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut open, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                open.get_or_insert_default();
            }
            None if c == ' ' => words.extend(open.take()),
            None if c == '#' && open.is_none() => break,
            _ => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    words
}

/// Which keys of the format a flow uses: `flow.setup`, `step.retry`, `retry.backoff`.
fn keys(flow: &Value, used: &mut BTreeSet<String>) {
    fn map(name: &str, value: &Value, used: &mut BTreeSet<String>) {
        used.extend(value.as_object().into_iter().flatten().map(|(key, _)| format!("{name}.{key}")));
    }
    map("flow", flow, used);
    map("defaults", &flow["defaults"], used);
    map("retry", &flow["defaults"]["retry"], used);
    map("gate", &flow["gate"], used);
    for input in flow["inputs"].as_object().into_iter().flatten() {
        map("input", input.1, used);
    }
    for phase in ["setup", "steps", "on_failure", "teardown"] {
        for (_, step) in flow[phase].as_object().into_iter().flatten() {
            map("step", step, used);
            for (key, name) in [("retry", "retry"), ("until", "polling"), ("repeat", "repeat")] {
                map(name, &step[key], used);
            }
        }
    }
}

/// All keys that there are, from the schema that editors are given.
async fn known(world: &World) -> BTreeSet<String> {
    let printed = world.publish(["schema"]).await;
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let schema: Value = serde_json::from_str(&printed.stdout).expect("a JSON Schema");
    let maps = ["flow", "step", "defaults", "input", "retry", "polling", "repeat", "gate"];
    let of = |map: &'static str| {
        let properties = schema["$defs"][map]["properties"].as_object().expect("properties").clone();
        properties.into_iter().map(move |(key, _)| format!("{map}.{key}"))
    };
    maps.into_iter().flat_map(of).collect()
}

/// The page as it is gone through.
#[derive(Default)]
struct Reader {
    /// Files under the heading.
    files: Vec<(String, String)>,
    /// Where the last flow lies.
    folder: String,
    /// Keys that examples have.
    used: BTreeSet<String>,
    /// What did not end as it should.
    wrong: String,
}

impl Reader {
    /// Does what a block says.
    async fn take(&mut self, world: &World, block: Block) {
        let flow = block.language == "yaml" && block.text.lines().any(|line| line.starts_with("flow:"));
        if flow {
            keys(&serde_saphyr::from_str(&block.text).expect("YAML"), &mut self.used);
        }
        match (&block.path, block.language.as_str()) {
            (Some(path), _) => self.files.push((path.clone(), block.text)),
            (None, "yaml") => {
                assert!(flow, "line {}: show whole flows, or name a file", block.line);
                self.folder = format!("line-{}", block.line);
                let flow = ("flow.yaml".to_owned(), block.text.clone());
                for (path, text) in self.files.iter().chain([&flow]) {
                    world.file(&format!("{}/{path}", self.folder), text);
                }
                let more = block.note("run").map(words).unwrap_or_default();
                let args = ["run", "flow.yaml"].map(str::to_owned).into_iter().chain(more);
                self.run(world, &block, args.collect()).await;
            }
            (None, "sh") => {
                for line in block.text.lines().filter_map(|line| line.strip_prefix("rfx-publish ")) {
                    self.run(world, &block, words(line)).await;
                }
            }
            _ => {}
        }
    }

    async fn run(&mut self, world: &World, block: &Block, args: Vec<String>) {
        let mut command = world.command("rfx-publish");
        command.args(&args).current_dir(world.dir().join(&self.folder));
        let ran = run(command).await;
        if ran.code != block.exit() {
            let (line, exit, code) = (block.line, block.exit(), ran.code);
            let said =
                format!("line {line}: {args:?} gave {code}, not {exit}:\n{}{}\n", ran.stdout, ran.stderr);
            self.wrong.push_str(&said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_language_runs_and_every_key_has_one() {
    let world = World::new().await;
    let pool = root().join("docs/pool").display().to_string();
    let same = ["--pool", &pool, "--slots", "slow=1", "--label"];
    let aws = ["provider=aws", "--label", "cluster=eu1", "--group", "aws-eu1"];
    let start = |name: &str, args: &[&str]| {
        let mut command = world.command("rfx-worker");
        command.args(same).args(args).env("RFX_SECRET_API_TOKEN", "hunter2-hunter2");
        Process::start(&mut command, &world.dir().join(name))
    };
    let workers = [start("aws.log", &aws), start("onprem.log", &["provider=onprem", "--group", "onprem"])];
    for worker in &workers {
        worker.printed("serving").await;
    }
    let page = std::fs::read_to_string(root().join("docs/flows.md")).expect("the page");
    let mut reader = Reader::default();
    for part in parts(&page, &["run", "exit"]) {
        match part {
            Part::Heading => reader.files.clear(),
            Part::Block(block) => reader.take(&world, block).await,
        }
    }
    assert!(reader.wrong.is_empty(), "{}", reader.wrong);
    let missing: Vec<_> = known(&world).await.difference(&reader.used).cloned().collect();
    assert!(missing.is_empty(), "keys without an example that is run: {missing:?}");
}
