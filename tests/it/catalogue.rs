//! The catalogue: functions are found, shown with all there is to know of them, and put on a page.

use rfx_tests::process::root;
use rfx_tests::world::World;
use rustix::process::Signal;
use serde_json::Value;

/// A pool whose functions tell them apart.
fn pool(world: &World) -> String {
    let code = "\
from dataclasses import dataclass
import rfx

@dataclass
class Host:
    name: str
    cpus: int = 1

@rfx.function(name=\"hosts.register\", tags=[\"devices\"], owner=\"device-team\", timeout=30, state=[\"hosts\"])
def register(host: Host, tenant: str = \"t-1\") -> dict[str, str]:
    \"\"\"Register a host.

    It is there at once.
    \"\"\"
    assert host.cpus < 9, f\"{host.cpus} are too many\"
    return {\"id\": f\"{tenant}/{host.name}\"}

@rfx.function(name=\"hosts.register\", version=\"2\", tags=[\"devices\"])
def register_2(host: Host) -> str:
    \"\"\"Register a host, and give its name only.\"\"\"
    return host.name

@rfx.function(name=\"apps.push\", tags=[\"apps\"])
def push(app: str) -> None:
    \"\"\"Push an application, to register it.\"\"\"
";
    world.file("pool/pool.toml", "name = \"example\"\n");
    world.file("pool/hosts.py", code);
    world.file("pool/broken.py", "import nowhere_at_all\n");
    world.file(
        "pool/flows/both.yaml",
        "flow: hosts.both\ndescription: Both of them.\nsteps:\n  a: { uses: hosts.register@1, with: { host: { name: a } } }\n",
    );
    world.dir().join("pool").display().to_string()
}

async fn json(world: &World, args: &[&str]) -> Value {
    let printed = world.publish(args.iter().copied().chain(["--json"])).await;
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    serde_json::from_str(&printed.stdout).expect("JSON")
}

fn names(found: &Value) -> Vec<String> {
    let all = found["functions"].as_array().expect("a list").iter();
    all.map(|one| {
        format!("{}@{}", one["name"].as_str().expect("a name"), one["version"].as_str().expect("one"))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_found_by_words_tags_types_and_places() {
    let mut world = World::new().await;
    let pool = pool(&world);
    let _aws = world.worker(["--pool", &pool, "--group", "aws", "--label", "provider=aws"]).await;
    let mut own = world.worker(["--pool", &pool, "--group", "own"]).await;
    let search = ["functions", "search"];
    let found = json(&world, &[&search[..], &["register"]].concat()).await;
    assert_eq!(names(&found), ["hosts.register@1", "hosts.register@2", "apps.push@1"], "names come first");
    assert_eq!(found["functions"][0]["groups"].as_array().map(Vec::len), Some(2), "one entry, two groups");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--tag", "devices"], &["hosts.register@1", "hosts.register@2"]),
        (&["--input-type", "Host", "--owner", "device-team"], &["hosts.register@1"]),
        (&["--input-type", "integer"], &["hosts.register@1", "hosts.register@2"]),
        (&["application", "--pool", "example", "--group", "own"], &["apps.push@1"]),
        (&["register", "--group", "nowhere"], &[]),
    ];
    for (args, expected) in cases {
        assert_eq!(names(&json(&world, &[&search[..], args].concat()).await), expected, "{args:?}");
    }
    let nothing = world.publish(search).await;
    assert_eq!(nothing.code, 2, "words or a filter are needed: {}", nothing.stderr);

    own.signal(Signal::TERM);
    own.ended().await;
    let listed = world.publish(["functions", "list"]).await.stdout;
    assert!(listed.contains("aws, own (stopped)"), "{listed}");
    assert!(listed.contains("broken: module broken of pool example"), "{listed}");
    let listed = world.publish(["functions", "list", "--tag", "apps"]).await.stdout;
    assert!(listed.contains("apps.push") && !listed.contains("broken"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_shown_with_its_inputs_places_and_last_outcomes() {
    let mut world = World::new().await;
    let pool = pool(&world);
    let _aws = world.worker(["--pool", &pool, "--group", "aws"]).await;
    let none = world.publish(["functions", "show", "hosts.register@1"]).await.stdout;
    assert!(none.contains("none in the latest runs"), "{none}");
    for cpus in ["4", "16"] {
        let input = format!("{{\"host\": {{\"name\": \"web-1\", \"cpus\": {cpus}}}}}");
        world.publish(["call", "hosts.register@1", "--input", &input]).await;
    }
    let shown = world.publish(["functions", "show", "hosts.register@1"]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for part in [
        "hosts.register@1",
        "It is there at once.",
        "owner      device-team",
        "timeout    30 s",
        "state      hosts",
        "host       Host     required",
        "host.cpus  integer",
        "rfx-publish call hosts.register@1 --input '{\"host\":{\"name\":\"name\"}}'",
        "1 failed",
        "16 are too many",
    ] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    let all = json(&world, &["functions", "show", "hosts.register"]).await;
    assert_eq!((&all["version"], all["versions"].as_array().map(Vec::len)), (&"2".into(), Some(2)));
    assert_eq!(all["last"].as_array().map(Vec::len), Some(2), "of any version");
    assert_eq!(all["last"][0]["digests"][0], all["digest"], "both versions are in one file");
    for (name, help) in [
        ("hosts.regster", "did you mean hosts.register?"),
        ("hosts.register@7", "it is there in version 1, 2"),
        ("nothing.like.it", "it may be in a module that does not import: broken of pool example"),
        ("not a name", "use identifiers joined by dots"),
    ] {
        let unknown = world.publish(["functions", "show", name]).await;
        assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""), "{name}");
        assert!(unknown.stderr.contains(help), "{name}: {}", unknown.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_a_page_with_a_server_and_without() {
    let mut world = World::new().await;
    let pool = pool(&world);
    let offline = world.publish(["functions", "docs", "--pool", &pool, "--to", "site/"]).await;
    assert_eq!((offline.code, offline.stdout.as_str()), (0, "site/index.html\n"), "{}", offline.stderr);
    let page = std::fs::read_to_string(world.dir().join("site/index.html")).expect("the page");
    for part in
        ["id=\"hosts.register@2\"", "id=\"hosts.both@1\"", "href=\"#hosts.register@1\"", "nowhere_at_all"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("rfx.noop"), "what every worker has is not the pool's");
    let example = root().join("examples/pool").display().to_string();
    let _worker = world.worker(["--pool", &pool, "--pool", &example]).await;
    let online = world.publish(["functions", "docs"]).await;
    assert_eq!((online.code, online.stdout.as_str()), (0, "functions.html\n"), "{}", online.stderr);
    let page = std::fs::read_to_string(world.dir().join("functions.html")).expect("the page");
    assert!(page.contains("1 worker") && page.contains("id=\"rfx.echo@1\""));
    let nowhere = world.publish(["functions", "docs", "--pool", "nowhere"]).await;
    assert_eq!(nowhere.code, 2, "{}", nowhere.stderr);
}
