//! The roles' users of `deploy/nats/server.conf`: each can do its part, and no more.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rfx_config::settings::Nats;
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::name::Queue;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject};
use rfx_tests::process::{Process, Ran, root, run, with};
use rfx_tests::world::World;
use rfx_transport::connect::connect;
use rfx_transport::{Guarded, Transport};

use crate::own_worker::{Seen, worker_as};

/// The deployed configuration, with passwords filled in, and without the monitoring port and the store that a test cannot share.
fn config(dir: &std::path::Path) -> PathBuf {
    let text = std::fs::read_to_string(root().join("deploy/nats/server.conf")).expect("the configuration");
    let roles = ["OPERATOR", "PUBLISHER", "WORKER", "COLLECTOR", "VIEWER"];
    let text = roles.iter().fold(text, |text, role| text.replace(&format!("$NATS_{role}_PASSWORD"), "pw"));
    let text = text.replace("http: \"0.0.0.0:8222\"", "").replace("store_dir: \"/data\"", "");
    let path = dir.join("server.conf");
    std::fs::write(&path, text).expect("written");
    path
}

fn nats_of(world: &World, user: &str) -> Nats {
    let mut nats = world.nats();
    nats.user = Some(user.to_owned());
    nats.password = Some(rfx_config::Secret::new("pw"));
    nats.inbox_prefix = Some(format!("_INBOX_{user}"));
    nats
}

async fn as_user(world: &World, user: &str) -> Transport {
    connect(&nats_of(world, user), user).await.expect("connected")
}

fn command(world: &World, name: &str, user: &str) -> std::process::Command {
    let mut command = world.command(name);
    command.env("RFX_NATS__USER", user).env("RFX_NATS__PASSWORD", "pw");
    command.env("RFX_NATS__INBOX_PREFIX", format!("_INBOX_{user}"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_part_with_the_rights_it_has() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::with_config(Some(config(dir.path()))).await;
    let operator = as_user(&world, "operator").await;
    operator.ensure_consumer(&"local".parse().expect("a group"), &Queue::main()).await.expect("set up");
    let worker =
        Process::start(&mut command(&world, "rfx-worker", "worker_local"), &world.dir().join("w.log"));
    worker.printed("serving").await;
    let mut collect = with(command(&world, "rfx-collector", "collector"), ["--reports", "reports"]);
    let collector = Process::start(&mut collect, &world.dir().join("c.log"));
    collector.printed("collecting").await;
    let big = "x".repeat(100_000);
    world.file("big.json", &serde_json::json!([big, "y"]).to_string());
    world.file(
        "flow.yaml",
        "flow: roles\ndata: { rows: big.json }\nsteps:\n  a: { uses: rfx.echo, each: \"${{ data.rows }}\", with: { v: \"${{ item }}\" } }\n",
    );
    let ran: Ran = run(with(command(&world, "rfx-publish", "publisher"), ["run", "flow.yaml"])).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    collector.printed("the run has ended").await;
    for process in [&worker, &collector] {
        assert!(!process.output().contains("ermissions"), "{}", process.output());
    }
    assert!(!ran.stderr.contains("ermissions"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_undos_need_no_further_rights() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::with_config(Some(config(dir.path()))).await;
    let operator = as_user(&world, "operator").await;
    operator.ensure_consumer(&"local".parse().expect("a group"), &Queue::main()).await.expect("set up");
    let seen = Arc::<Seen>::default();
    let _worker = worker_as(&nats_of(&world, "worker_local"), &operator, 2, &seen).await;
    let flow = "flow: x\nsteps:\n  a: { uses: t.parent, with: { calls: 2 } }\n  b: { uses: t.make, with: { names: [b] } }\n";
    world.file("flow.yaml", flow);
    let ran: Ran = run(with(command(&world, "rfx-publish", "publisher"), ["run", "flow.yaml"])).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("ermissions"), "{}", ran.stderr);
    assert_eq!(*seen.dropped.lock().expect("no panic"), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_neither_publish_jobs_nor_speak_for_another_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::with_config(Some(config(dir.path()))).await;
    as_user(&world, "operator").await.ensure().await.expect("set up");
    let worker = as_user(&world, "worker_local").await;
    let collector = as_user(&world, "collector").await;
    let (run, job) = (RunId::new(), JobId { step: 0, item: 0 });
    let subject = JobSubject {
        group: "local".parse().expect("a group"),
        queue: Queue::main(),
        function: "t.f".parse().expect("a function"),
        run,
        job,
        attempt: Attempt::FIRST,
    };
    let ended = |group: &str| FactSubject::Attempt {
        run,
        group: group.parse().expect("a group"),
        job,
        attempt: Attempt::FIRST,
        fact: AttemptFact::Ended,
    };
    let tries = [
        (&worker, worker.subjects().job(&subject)),
        (&worker, worker.subjects().fact(&ended("other"))),
        (&collector, worker.subjects().fact(&ended("local"))),
    ];
    for (who, subject) in tries {
        let refused = who.publish(Guarded::new(subject.clone(), Bytes::new())).await;
        let error = refused.expect_err(&subject).to_string().to_lowercase();
        assert!(error.contains("permissions violation"), "{subject}: {error}");
    }
}
