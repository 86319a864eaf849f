//! Connecting: as whom, to what, and what is said when it does not work.

use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::name::Queue;
use rfx_schemas::subject::JobSubject;
use rfx_tests::world::World;
use rfx_transport::Guarded;
use rfx_transport::connect::{ConnectError, connect};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lacks_what_rfx_needs_is_refused_by_name() {
    let world = World::new().await;
    let transport = connect(&world.nats(), "test").await.expect("connected");
    transport.make_foreign_stream("RFX_JOBS", "rfx.job.>").await.expect("made");
    let error = transport.ensure().await.expect_err("it is not a work queue").to_string();
    assert!(error.contains("stream RFX_JOBS") && error.contains("retention is Limits"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_permissions_refuse_says_so_instead_of_timing_out() {
    let config = tempfile::NamedTempFile::new().expect("a file");
    let users = "authorization { users: [
        { user: all, password: p },
        { user: few, password: p, permissions: { publish: { deny: [\"rfx.job.>\"] } } } ] }\n";
    std::fs::write(config.path(), users).expect("written");
    let world = World::with_config(Some(config.path().to_owned())).await;
    let mut nats = world.nats();
    nats.user = Some("all".to_owned());
    nats.password = Some(rfx_config::Secret::new("p"));
    connect(&nats, "test").await.expect("connected").ensure().await.expect("made");
    nats.user = Some("few".to_owned());
    let transport = connect(&nats, "test").await.expect("connected");
    let job = JobSubject {
        group: "local".parse().expect("a group"),
        queue: Queue::main(),
        function: "t.f".parse().expect("a function"),
        run: RunId::new(),
        job: JobId { step: 0, item: 0 },
        attempt: Attempt::FIRST,
    };
    let refused = transport.publish(Guarded::new(transport.subjects().job(&job), Bytes::new())).await;
    let error = refused.expect_err("denied").to_string();
    assert!(error.to_lowercase().contains("permissions violation"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_connection_fails_at_once_and_says_why() {
    let world = World::new().await;
    let mut nats = world.nats();
    nats.url = "nats://127.0.0.1:9".to_owned();
    let start = Instant::now();
    let error = connect(&nats, "test").await.err().expect("nobody is there");
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    nats.url = world.url().to_owned();
    nats.credentials = Some("/nowhere/user.creds".into());
    let error = connect(&nats, "test").await.err().expect("no such file");
    assert!(error.to_string().contains("/nowhere/user.creds"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_seed_in_a_file_opens_the_door_that_it_is_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let (key, stranger) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", key.public_key());
    let config = dir.path().join("nats.conf");
    std::fs::write(&config, users).expect("written");
    let seed = dir.path().join("user.nk");
    let world = World::with_config(Some(config)).await;
    let mut nats = world.nats();
    nats.nkey = Some(seed.clone());
    std::fs::write(&seed, key.seed().expect("a seed")).expect("written");
    connect(&nats, "test").await.expect("connected").ensure().await.expect("made");
    std::fs::write(&seed, stranger.seed().expect("a seed")).expect("written");
    let error = connect(&nats, "test").await.err().expect("not a user");
    assert!(matches!(error, ConnectError::Credentials { .. }), "{error}");
    assert!(error.to_string().contains("the nkey in"), "{error}");
}

/// No server as old as that is at hand; what it says first is enough to be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused_by_its_version() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().flatten() {
            let info = "INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.10.26\",\"go\":\"x\",\"host\":\"127.0.0.1\",\"port\":1,\"headers\":true,\"max_payload\":1048576,\"proto\":1}\r\n";
            drop(stream.write_all(info.as_bytes()));
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                if chunk[..n].windows(4).any(|w| w == b"PING") {
                    drop(stream.write_all(b"PONG\r\n"));
                }
            }
        }
    });
    let mut nats = rfx_config::Settings::default().nats;
    nats.url = format!("nats://{address}");
    let error = connect(&nats, "test").await.err().expect("too old");
    assert_eq!(
        error.to_string(),
        format!("nats-server 2.10.26 at nats://{address} is too old: rfx needs 2.11.0 or later")
    );
}
