//! `init` and `new`: what they write passes its own tests, is accepted by the checker, and runs on a worker.

use std::path::Path;
use std::process::Command;

use rfx_tests::process::{Ran, python_with_pytest, root, run, with};
use rfx_tests::world::World;

/// Runs pytest over a folder, with the package as it is in the repository.
async fn pytest(folder: &Path, what: &str) -> Ran {
    let mut command = Command::new(python_with_pytest());
    command
        .args(["-m", "pytest", "-q", what])
        .current_dir(folder)
        .env("PYTHONPATH", root().join("python/src"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    run(command).await
}

/// Runs rfx-publish in a folder of the world.
async fn publish(world: &World, folder: &Path, args: &[&str]) -> Ran {
    let mut command = with(world.command("rfx-publish"), args);
    command.current_dir(folder);
    run(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_passes_its_tests_and_runs_its_flow() {
    let mut world = World::new().await;
    let made = world.publish(["init", "My Shop"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.contains("next:\n  cd My Shop\n"), "{}", made.stdout);
    let shop = world.dir().join("My Shop");
    assert!(std::fs::read_to_string(shop.join("pool/pool.toml")).expect("written").contains("\"my-shop\""));
    for args in [
        &["new", "function", "devices.populate"][..],
        &["new", "function", "ping"],
        &["new", "function", "fleet.hosts.count"],
        &["new", "flow", "nightly.devices"],
    ] {
        let new = publish(&world, &shop, args).await;
        assert_eq!(new.code, 0, "{args:?}: {}", new.stderr);
    }
    let tested = pytest(&shop, "pool").await;
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("9 passed"), "{}", tested.stdout);

    let pool = shop.join("pool").display().to_string();
    for flow in ["flows/hello.yaml", "flows/nightly_devices.yaml"] {
        let checked = publish(&world, &shop, &["check", flow, "--pool", "pool"]).await;
        assert_eq!(checked.code, 0, "{flow}: {}{}", checked.stdout, checked.stderr);
    }
    let _worker = world.worker(["--pool", &pool]).await;
    for flow in ["flows/hello.yaml", "flows/nightly_devices.yaml"] {
        let ran = publish(&world, &shop, &["run", flow]).await;
        assert_eq!(ran.code, 0, "{flow}: {}{}", ran.stdout, ran.stderr);
    }
    for (function, output) in [
        ("greetings.greet", "{\"letters\":13,\"text\":\"Hello, web-1!\"}\n"),
        ("ping", "{\"name\":\"web-1\"}\n"),
        ("fleet.hosts.count", "{\"name\":\"web-1\"}\n"),
    ] {
        let called = publish(&world, &shop, &["call", function, "--set", "name=web-1"]).await;
        assert_eq!((called.code, called.stdout.as_str()), (0, output), "{}", called.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_every_refusal_says_what_to_do() {
    let world = World::new().await;
    let shop = world.dir().join("shop");
    let outside = world.publish(["new", "function", "devices.populate"]).await;
    assert_eq!(outside.code, 2);
    assert!(outside.stderr.contains("rfx-publish init"), "{}", outside.stderr);
    world.file("shop/README.md", "mine\n");
    let refused = world.publish(["init", "shop"]).await;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("shop/README.md is there already"), "{}", refused.stderr);
    assert!(!shop.join("pool").exists(), "nothing at all is written");
    std::fs::remove_file(shop.join("README.md")).expect("it was there");
    assert_eq!(world.publish(["init", "shop"]).await.code, 0);

    // From inside the pool, as from the project.
    let within = shop.join("pool/tests");
    let made = publish(&world, &within, &["new", "function", "devices.populate"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(shop.join("pool/devices.py").exists());
    let flow = publish(&world, &within, &["new", "flow", "nightly"]).await;
    assert_eq!(flow.code, 0, "{}", flow.stderr);
    assert!(shop.join("flows/nightly.yaml").exists(), "{}", flow.stdout);
    for (args, said) in [
        (["new", "function", "devices.show"], "devices.py is there already"),
        (["new", "flow", "nightly"], "nightly.yaml is there already"),
        (["new", "function", "json.read"], "a module of Python itself"),
        (["new", "function", "devices.no-name"], "use identifiers joined by dots"),
        (["new", "flow", "rfx.mine"], "built in"),
    ] {
        let refused = publish(&world, &shop, &args).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{args:?}");
        assert!(refused.stderr.contains(said), "{args:?}: {}", refused.stderr);
    }
}
