//! Environments of pools, with wheels that the tests make themselves: nothing comes from a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use rfx_tests::eventually;
use rfx_tests::process::{Process, Ran, python, run, with};
use rfx_tests::world::World;
use rustix::process::Signal;

/// Makes wheels of `tinylib`, whose version says itself.
const WHEELS: &str = r#"
import sys, zipfile
for version in ("1.0", "2.0"):
    with zipfile.ZipFile(f"{sys.argv[1]}/tinylib-{version}-py3-none-any.whl", "w") as wheel:
        info = f"tinylib-{version}.dist-info"
        files = {
            "tinylib.py": f"version = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinylib\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        for name, text in files.items():
            wheel.writestr(name, text)
"#;

/// A package whose build says that it has begun, and then reads a file: a pipe holds it up.
const BACKEND: &str = r#"
import os, pathlib, zipfile
here = pathlib.Path(os.environ["SLOWLIB"])

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    (here / "building").touch()
    (here / "gate").read_text()
    name = "slowlib-1.0-py3-none-any.whl"
    info = "slowlib-1.0.dist-info"
    files = {
        "slowlib.py": "version = '1.0'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: slowlib\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return name
"#;

/// A world whose workers keep environments in its own folder, with the wheels.
async fn world() -> World {
    let world = World::new().await;
    world.file("rfx.toml", "[worker]\nenvironments = \"environments\"\n");
    std::fs::create_dir(world.dir().join("wheels")).expect("a folder");
    let made = Command::new(python()).args(["-c", WHEELS]).arg(world.dir().join("wheels")).status();
    assert!(made.expect("a Python").success());
    world
}

/// A pool with one function, which gives the version of a library.
fn pool(world: &World, name: &str, library: &str, more: &str) -> String {
    let manifest = format!("name = \"{name}\"\n{more}\n");
    let code = format!(
        "import rfx\nimport {library}\n\n@rfx.function(name=\"{name}.version\")\ndef version() -> str:\n    return {library}.version\n"
    );
    world.file(&format!("{name}/pool.toml"), &manifest);
    world.file(&format!("{name}/{name}_functions.py"), &code);
    name.to_owned()
}

fn tinylib(world: &World, name: &str, version: &str) -> String {
    let wanted =
        format!("requirements = [\"--no-index\", \"--find-links=../wheels\", \"tinylib=={version}\"]");
    pool(world, name, "tinylib", &wanted)
}

fn complete(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.dir().join("environments")).into_iter().flatten().flatten();
    let markers = entries.map(|entry| entry.path().join("rfx-environment.json"));
    markers.filter(|marker| marker.is_file()).collect()
}

async fn worker_command(world: &World, args: &[&str]) -> Ran {
    run(with(world.command("rfx-worker"), args.iter().copied().chain(["--python", &python()]))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_with_conflicting_requirements_run_in_one_worker() {
    let mut world = world().await;
    let (one, two) = (tinylib(&world, "one", "1.0"), tinylib(&world, "two", "2.0"));
    world.file("three/requirements/base.txt", "--no-index\n--find-links ../../wheels\n-r more.txt\n");
    world.file("three/requirements/more.txt", "tinylib < 2\n");
    let three = pool(&world, "three", "tinylib", "requirements = \"requirements/base.txt\"");
    world.file(
        "flow.yaml",
        "flow: x\nsteps:\n\
         \x20 one: { uses: one.version, expect: \"output == '1.0'\" }\n\
         \x20 two: { uses: two.version, expect: \"output == '2.0'\" }\n\
         \x20 three: { uses: three.version, expect: \"output == '1.0'\" }\n",
    );
    let pools = ["--pool", &one, "--pool", &two, "--pool", &three];
    let worker = world.worker(pools).await;
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 0, "{}{}{}", ran.stdout, ran.stderr, worker.output());
    assert_eq!(complete(&world).len(), 3);

    let described = worker_command(&world, &["describe", "--pool", &one]).await;
    assert!(described.code == 0 && described.stdout.contains("one.version"), "{}", described.stderr);
    assert!(!described.stderr.contains("building"), "it is there already: {}", described.stderr);

    // What a worker uses stays; what nobody uses goes when it is told to.
    let kept = worker_command(&world, &["environments", "--prune", "0s"]).await;
    assert_eq!((kept.code, kept.stdout.as_str()), (0, ""), "{}", kept.stderr);
    drop(worker);
    let listed = worker_command(&world, &["environments"]).await;
    assert!(listed.stdout.contains("for pool one: tinylib==1.0"), "{}", listed.stdout);
    let young = worker_command(&world, &["environments", "--prune", "1d"]).await;
    assert_eq!((young.stdout.as_str(), complete(&world).len()), ("", 3));
    let pruned = worker_command(&world, &["environments", "--prune", "0s"]).await;
    assert_eq!((pruned.stdout.lines().count(), complete(&world).len()), (3, 0), "{}", pruned.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_build_an_environment_once() {
    let mut world = world().await;
    let pool = tinylib(&world, "one", "1.0");
    let python = python();
    let start = |world: &mut World, group: &str| {
        world.start("rfx-worker", ["--pool", &pool, "--group", group, "--python", &python])
    };
    let workers = [start(&mut world, "a"), start(&mut world, "b")];
    for worker in &workers {
        worker.printed("serving").await;
    }
    let logs = workers.map(|worker| worker.output());
    let built = logs.iter().map(|log| log.matches("building the environment of a pool").count());
    assert_eq!(built.sum::<usize>(), 1, "{logs:?}");
    assert_eq!(complete(&world).len(), 1);
}

/// A pool whose requirement is held up while it is built, by the pipe `gate`.
struct Slow {
    world: World,
    pool: String,
}

impl Slow {
    async fn new() -> Self {
        let world = world().await;
        let made = Command::new("mkfifo").arg(world.dir().join("gate")).status().expect("mkfifo");
        assert!(made.success());
        world.file(
            "lib/pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\
             [project]\nname = \"slowlib\"\nversion = \"1.0\"\n",
        );
        world.file("lib/backend.py", BACKEND);
        let pool = pool(&world, "slow", "slowlib", "requirements = [\"--no-index\", \"../lib\"]");
        Self { world, pool }
    }

    fn worker(&self, log: &str) -> Process {
        let args = ["--pool", &self.pool, "--python", &python()];
        let mut command = with(self.world.command("rfx-worker"), args);
        Process::start(command.env("SLOWLIB", self.world.dir()), &self.world.dir().join(log))
    }

    /// A worker that builds, and is held up.
    async fn building(&self, log: &str) -> Process {
        let worker = self.worker(log);
        let building = self.world.dir().join("building");
        eventually("the build has begun", async || building.exists().then_some(())).await;
        worker
    }

    /// Holds up no further build, and gives the pipe that still holds up the one under way.
    fn open(&self) -> PathBuf {
        let pipe = self.world.dir().join("pipe");
        std::fs::rename(self.world.dir().join("gate"), &pipe).expect("ours");
        self.world.file("gate", "open");
        pipe
    }

    async fn passes(&self, worker: &Process) {
        worker.printed("serving").await;
        self.world
            .file("flow.yaml", "flow: x\nsteps:\n  a: { uses: slow.version, expect: \"output == '1.0'\" }\n");
        let ran = self.world.publish(["run", "flow.yaml"]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, worker.output());
        assert_eq!(complete(&self.world).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_killed_is_built_again() {
    let slow = Slow::new().await;
    slow.building("killed.log").await.crash();
    // What it has started goes on, and holds the lock: nobody builds beside it.
    let next = slow.worker("next.log");
    next.printed("waiting for another worker").await;
    assert!(complete(&slow.world).is_empty());
    release(&slow.open()).await;
    next.printed("removing an environment whose build was cut off").await;
    slow.passes(&next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_ends_its_build() {
    let slow = Slow::new().await;
    let mut stopped = slow.building("stopped.log").await;
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.ended().await.code(), Some(0), "{}", stopped.output());
    slow.open();
    let next = slow.worker("next.log");
    slow.passes(&next).await;
}

/// Opens and closes the other end of a pipe, which lets its reader go on.
async fn release(pipe: &Path) {
    let pipe = pipe.to_owned();
    let opened = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(pipe));
    drop(opened.await.expect("no panic").expect("the pipe has a reader"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_ends_the_worker_with_the_place_and_the_way_out() {
    let world = world().await;
    let ends = async |name: &str, more: &str| -> String {
        let pool = pool(&world, name, "tinylib", more);
        let ran = worker_command(&world, &["--pool", &pool]).await;
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        ran.stderr
    };
    let says = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    };
    let wanted = "requirements = [\n  \"--no-index\",\n  \"--find-links=../wheels\",\n  \"tinylib==9\",\n]";
    let broken = ends("broken", wanted).await;
    says(&broken, &["broken/pool.toml:5:3", "at \"tinylib==9\"", "PIP_INDEX_URL"]);
    // What pip says, or uv where it is installed.
    let installers = ["No matching distribution found for tinylib==9", "there is no version of tinylib==9"];
    assert!(installers.iter().any(|said| broken.contains(said)), "{broken}");
    assert!(complete(&world).is_empty());
    let python = ends("nopython", "python = \"3.99\"").await;
    says(&python, &["nopython/pool.toml:2:10", "there is no Python 3.99 here", "found: "]);
    let lost = ends("lost", "requirements = \"gone.txt\"").await;
    says(&lost, &["lost/pool.toml:2:16", "gone.txt cannot be read"]);
    let wrong = ends("wrong", "requirments = []\nisolation = \"hot\"").await;
    says(
        &wrong,
        &["pool.toml:2:1", "did you mean requirements?", "pool.toml:3:13", "use warm, fresh or shared"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_two_pools_have_is_served_by_neither() {
    let mut world = world().await;
    let code = "import rfx\n\n@rfx.function(name=\"t.same\")\ndef same() -> int:\n    return 1\n\n@rfx.function(name=\"t.only_NAME\")\ndef only() -> int:\n    return 1\n";
    for name in ["one", "two"] {
        world.file(&format!("{name}/pool.toml"), &format!("name = \"{name}\"\n"));
        world.file(&format!("{name}/{name}_functions.py"), &code.replace("NAME", name));
    }
    let worker = world.worker(["--pool", "one", "--pool", "two"]).await;
    let listed = world.publish(["functions"]).await;
    for part in
        ["t.only_one", "t.only_two", "DuplicateFunction: t.same version 1", "pool two (two_functions.py:"]
    {
        assert!(listed.stdout.contains(part), "{part:?} is not in\n{}", listed.stdout);
    }
    world.file("flow.yaml", "flow: x\nsteps:\n  a: { uses: t.same }\n");
    let ran = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(ran.code, 2, "{}{}{}", ran.stdout, ran.stderr, worker.output());
}
