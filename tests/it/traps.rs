//! What NATS and its client do that one would not expect, each against a real server: the transport
//! must do right all the same.

use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::{Ended, Started};
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::name::{Group, Queue};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject};
use rfx_schemas::topology::Bucket;
use rfx_tests::eventually;
use rfx_tests::world::World;
use rfx_transport::delivery::Delivery;
use rfx_transport::facts::{Entry, Scope};
use rfx_transport::lease::LeaseKeeper;
use rfx_transport::look::Look;
use rfx_transport::{Guarded, Published, Puller, Transport};
use tokio::time::{Instant, timeout};

fn group() -> Group {
    "local".parse().expect("a group")
}

fn job(run: RunId, item: u32) -> JobSubject {
    JobSubject {
        group: group(),
        queue: Queue::main(),
        function: "t.f".parse().expect("a function"),
        run,
        job: JobId { step: 0, item },
        attempt: Attempt::FIRST,
    }
}

async fn put(transport: &Transport, job: &JobSubject) -> Published {
    let guarded = Guarded::new(transport.subjects().job(job), Bytes::from_static(b"job"));
    transport.publish(guarded).await.expect("the server answers")
}

fn started(run: RunId, item: u32) -> (FactSubject, Bytes) {
    let fact = AttemptFact::Started(2);
    let subject = FactSubject::Attempt {
        run,
        group: group(),
        job: JobId { step: 0, item },
        attempt: Attempt::FIRST,
        fact,
    };
    let body =
        Started { worker: "w".parse().expect("a member"), started: Stamp::from_micros(i64::from(item)) };
    (subject, encode(&body))
}

async fn lane(transport: &Transport) -> Puller {
    transport.ensure_consumer(&group(), &Queue::main()).await.expect("made");
    transport.pull_lane(&group(), &Queue::main()).await.expect("opened")
}

/// Pulls until there are this many.
async fn pull(puller: &mut Puller, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let room = count - all.len();
        timeout(Duration::from_secs(20), puller.jobs(room, 1, &mut all)).await.expect("jobs come");
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_keeps_doubles_out_and_forgets_with_the_purge() {
    let world = World::new().await;
    let transport = world.transport().await;
    let job = job(RunId::new(), 0);
    assert!(matches!(put(&transport, &job).await, Published::Stored(_)));
    assert_eq!(put(&transport, &job).await, Published::AlreadyThere);
    // With a message id instead, the repeat of a purged job would be swallowed.
    assert_eq!(transport.purge_lane(&job.group, &job.queue, job.run).await.expect("purged"), 1);
    assert!(matches!(put(&transport, &job).await, Published::Stored(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guarded_publishes_at_once_are_each_answered() {
    let world = World::new().await;
    let transport = world.transport().await;
    let run = RunId::new();
    let jobs: Vec<_> = (0..2_000).map(|item| job(run, item)).collect();
    let twice = jobs.iter().chain(&jobs).map(|job| put(&transport, job));
    let answers = futures_util::future::join_all(twice).await;
    let stored = answers.iter().filter(|a| matches!(a, Published::Stored(_))).count();
    assert_eq!((stored, answers.len()), (2_000, 4_000));
    assert_eq!(transport.waiting_jobs().await.expect("the stream's state"), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_ack_a_job_is_taken_again_so_the_look_decides() {
    let world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    let job = job(RunId::new(), 0);
    put(&transport, &job).await;
    assert_eq!(transport.look(std::slice::from_ref(&job)).await.expect("looked"), [Look::Open]);
    let ended = FactSubject::Attempt {
        run: job.run,
        group: group(),
        job: job.job,
        attempt: job.attempt,
        fact: AttemptFact::Ended,
    };
    let body = encode(&Ended { outcomes: Vec::new() });
    transport.publish(Guarded::new(transport.subjects().fact(&ended), body)).await.expect("recorded");
    let delivery = pull(&mut puller, 1).await.pop().expect("one");
    assert!(delivery.ack_checked().await);
    let again = Guarded { again: true, ..Guarded::new(transport.subjects().job(&job), Bytes::new()) };
    assert!(matches!(transport.publish(again).await, Ok(Published::Stored(_))), "the guard lets it in again");
    let delivery = pull(&mut puller, 1).await.pop().expect("one");
    assert_eq!((delivery.delivered, delivery.again()), (1, true), "only the header tells");
    assert_eq!(transport.look(&[job]).await.expect("looked"), [Look::Recorded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again_and_a_hand_back_comes_at_once() {
    let world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    put(&transport, &job(RunId::new(), 0)).await;
    let first = pull(&mut puller, 1).await.pop().expect("one");
    first.hand_back().await;
    let start = Instant::now();
    let second = pull(&mut puller, 1).await.pop().expect("one");
    assert_eq!(second.delivered, 2);
    assert!(start.elapsed() < Duration::from_secs(2), "handed back, not waited out");
    drop(second);
    let third = pull(&mut puller, 1).await.pop().expect("one");
    assert_eq!(third.delivered, 3, "after ack_wait, with no end to it: poison is ours to settle");
    // Heartbeats keep it, beyond ack_wait (3 s here).
    let until = Instant::now() + Duration::from_secs(5);
    let mut others = Vec::new();
    while Instant::now() < until {
        third.progress().await;
        let looked = timeout(Duration::from_millis(500), puller.jobs(1, 1, &mut others)).await;
        assert!(looked.is_err() && others.is_empty(), "it is ours");
    }
    assert!(third.ack_checked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_per_lane_frees_the_slots_of_what_was_in_flight() {
    let world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    let (gone, stays) = (RunId::new(), RunId::new());
    for item in 0..5 {
        put(&transport, &job(gone, item)).await;
    }
    put(&transport, &job(stays, 0)).await;
    let held = pull(&mut puller, 3).await;
    transport.purge_lane(&group(), &Queue::main(), gone).await.expect("purged");
    let depth = transport.lane_depth(&group(), &Queue::main()).await.expect("asked");
    assert_eq!(depth, Some(1), "the other run's job waits, and nothing is pending");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_lane_takes_a_job_at_once_and_goes_on_after_a_restart() {
    let mut world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    let run = RunId::new();
    let mut none = Vec::new();
    assert!(timeout(Duration::from_millis(300), puller.jobs(10, 1, &mut none)).await.is_err());
    put(&transport, &job(run, 0)).await;
    let start = Instant::now();
    pull(&mut puller, 1).await.pop().expect("one").ack().await;
    assert!(start.elapsed() < Duration::from_secs(1));
    world.crash_server();
    world.restart_server().await;
    put(&transport, &job(run, 1)).await;
    let back = Instant::now();
    let delivery = pull(&mut puller, 1).await.pop().expect("one");
    assert!(back.elapsed() < Duration::from_secs(2), "pulled {:?} after the server was back", back.elapsed());
    delivery.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_stopping_can_be_handed_back() {
    let world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    let run = RunId::new();
    let mut got = Vec::new();
    assert!(timeout(Duration::from_millis(200), puller.jobs(50, 1, &mut got)).await.is_err());
    for item in 0..20 {
        put(&transport, &job(run, item)).await;
    }
    let mut late = Vec::new();
    puller.last_jobs(Duration::from_secs(2), &mut late).await;
    assert_eq!(late.len(), 20, "what had been sent is not lost for ack_wait");
    for delivery in late {
        delivery.hand_back().await;
    }
    let mut next = lane(&transport).await;
    let start = Instant::now();
    assert_eq!(pull(&mut next, 20).await.len(), 20);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checked_ack_is_not_a_yes_without_a_server() {
    let mut world = World::new().await;
    let transport = world.transport().await;
    let mut puller = lane(&transport).await;
    put(&transport, &job(RunId::new(), 0)).await;
    let delivery = pull(&mut puller, 1).await.pop().expect("one");
    world.crash_server();
    assert!(!delivery.ack_checked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_outlives_a_restart_of_the_server_and_is_stored_once() {
    let mut world = World::new().await;
    let transport = world.transport().await;
    world.crash_server();
    let job = job(RunId::new(), 0);
    let publishing = put(&transport, &job);
    let restarting = async {
        tokio::task::yield_now().await;
        world.restart_server().await;
    };
    tokio::join!(publishing, restarting);
    assert_eq!(transport.waiting_jobs().await.expect("the stream's state"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_read_once_and_in_order_across_a_restart_that_forgets_the_reader() {
    let mut world = World::new().await;
    let transport = world.transport().await;
    let run = RunId::new();
    let mut reader = transport.facts(Scope::Run(run), transport.member(), 1);
    let mut seen: Vec<Entry> = Vec::new();
    for part in 0..2u32 {
        let facts = (part * 700..(part + 1) * 700).map(|item| started(run, item));
        let facts = facts.map(|(subject, body)| Guarded::new(transport.subjects().fact(&subject), body));
        let stored = futures_util::future::join_all(facts.map(|fact| transport.publish(fact))).await;
        assert!(stored.into_iter().all(|s| s.is_ok()));
        let wanted = (part as usize + 1) * 700;
        while seen.len() < wanted {
            timeout(Duration::from_secs(30), reader.read(&mut seen))
                .await
                .expect("facts come")
                .expect("read");
        }
        if part == 0 {
            world.crash_server();
            world.restart_server().await;
        }
    }
    assert_eq!(seen.len(), 1_400);
    assert!(seen.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(seen.last().map(|entry| entry.pending), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_the_same_revision_one_wins() {
    let world = World::new().await;
    let transport = world.transport().await;
    for round in 0..20 {
        let key = format!("round.{round}");
        let (one, two) = tokio::join!(
            transport.kv_cas(Bucket::State, &key, &"one", 0),
            transport.kv_cas(Bucket::State, &key, &"two", 0)
        );
        let won = [one.expect("answered"), two.expect("answered")];
        assert_eq!(won.iter().filter(|revision| revision.is_some()).count(), 1);
    }
    let all: Vec<String> = transport.kv_list(Bucket::State, "round.>").await.expect("listed");
    assert_eq!(all.len(), 20);
    transport.kv_delete(Bucket::State, "round.0").await.expect("deleted");
    let gone = transport.kv_get::<String>(Bucket::State, "round.0").await.expect("asked");
    assert_eq!(gone, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_taken_when_let_go_or_when_nobody_renews_it() {
    let world = World::new().await;
    let transport = world.transport().await;
    let keeper = |name: &str| {
        let member = name.parse().expect("a member");
        LeaseKeeper::new(transport.clone(), "run", member).with_expiry(Duration::from_millis(400))
    };
    let (mut one, mut two) = (keeper("one"), keeper("two"));
    assert!(one.tend().await.expect("tended"));
    assert!(!two.tend().await.expect("tended"));
    let held = Instant::now();
    while held.elapsed() < Duration::from_secs(1) {
        assert!(one.tend().await.expect("tended"), "renewed");
        assert!(!two.tend().await.expect("tended"), "another holds and renews it");
    }
    eventually("the lease runs out", async || two.tend().await.ok().filter(|held| *held)).await;
    assert!(!one.tend().await.expect("tended"), "its holder hears of it");
    two.release().await;
    assert!(one.tend().await.expect("tended"), "let go, so free at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_stored_once_in_chunks_and_checked_when_read() {
    let world = World::new().await;
    let transport = world.transport().await;
    let run = RunId::new();
    let bytes = Bytes::from((0..1_300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let reference = transport.put_blob(run, &bytes).await.expect("stored");
    assert_eq!(reference.chunks, 10);
    assert_eq!(transport.put_blob(run, &bytes).await.expect("stored"), reference);
    assert_eq!(transport.get_blob(run, &reference).await.expect("read"), bytes);
    let error = transport.get_blob(RunId::new(), &reference).await.expect_err("another run's");
    assert!(error.to_string().contains("not in the blob stream"), "{error}");
}
