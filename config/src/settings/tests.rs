//! Settings as people give them, and what they are told.

mod told;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use super::keys::Known;
use super::*;

/// A folder with the files of a test, and the environment around it.
struct Case {
    folder: tempfile::TempDir,
    env: Vec<(OsString, OsString)>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = vec![("HOME".into(), folder.path().into())];
        Self { folder, env }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(path, text).expect("written");
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn read(&self, flags: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let directory = Some(self.folder.path().to_owned());
        Settings::read(&Sources { file: None, flags, env: self.env.clone(), directory })
    }

    fn good(&self) -> Settings {
        self.read(&[]).expect("good settings")
    }

    /// What a person is told, with the test's own folder left out.
    fn told(&self, flags: &[(&str, &str)]) -> String {
        let text = self.read(flags).expect_err("wrong settings").to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn toml(text: &str) -> Case {
    Case::new().file("rfx.toml", text)
}

#[test]
fn every_key_that_is_read_is_in_default_toml_and_the_other_way_round() {
    let environment = Environment::default();
    let (values, defaults) = merge::merge(&Sources::default(), &environment, &mut Vec::new());
    let known: BTreeSet<_> = Known::of(&defaults).keys().iter().cloned().collect();
    let mut reader = Reader::new(values, defaults, &environment, Vec::new());
    nats::read(&mut reader);
    sections::worker(&mut reader);
    sections::publisher(&mut reader);
    sections::collector(&mut reader);
    sections::telemetry(&mut reader);
    sections::log(&mut reader);
    let read: BTreeSet<_> = reader.read.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(read, known);
    assert_eq!(reader.into_problems(), Vec::<String>::new());
}

#[test]
fn every_key_of_default_toml_has_a_comment() {
    let lines: Vec<_> = default_toml().lines().collect();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        let commented = line.starts_with('#') || lines[number - 1].starts_with("# ");
        assert!(commented, "default.toml:{}: {line}", number + 1);
    }
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let settings = Settings::default();
    assert_eq!(settings.nats.url, "nats://127.0.0.1:4222");
    assert_eq!(settings.nats.user, None);
    assert_eq!(settings.nats.ack_wait, rfx_schemas::topology::ACK_WAIT);
    assert_eq!(settings.worker.drain, Duration::from_secs(11 * 60));
    assert!(settings.worker.slots[&Queue::main()] >= 1, "one per core");
    assert_eq!(settings.worker.pools, Vec::<PathBuf>::new());
    assert_eq!(settings.log, Log { level: "info".to_owned(), format: LogFormat::Text });
    assert_eq!(settings.telemetry, Telemetry::default());
}

#[test]
fn later_layers_win_key_by_key() {
    let case = toml(
        "[nats]\nurl = 'file:1'\nreplicas = 3\nack_wait = '1h' # too long, and overridden\n\
         [worker]\ndrain = '1min 30s'\npools = ['a', '~/b']\nslots.high = 2\nlabels.provider = 'aws'\n",
    );
    let case = case
        .env("RFX_NATS__URL", "env:2")
        .env("RFX_NATS__ACK_WAIT", "40s")
        .env("RFX_WORKER__SLOTS__MAIN", "4");
    let case = case.env("RFX_NATS__REPLICAS", "").env("RFX_WORKER__LABELS__CLUSTER", "eu1");
    let settings = case.read(&[("nats.url", "flag:3"), ("nats.tls.required", "true")]).expect("good");
    assert_eq!(settings.nats.url, "flag:3");
    assert_eq!(settings.nats.replicas, 3, "an empty variable counts as not set");
    assert_eq!(settings.nats.ack_wait, Duration::from_secs(40));
    assert!(settings.nats.tls_required);
    assert_eq!(settings.worker.drain, Duration::from_secs(90));
    assert_eq!(settings.worker.pools, [PathBuf::from("a"), case.folder.path().join("b")]);
    assert_eq!(format!("{:?}", settings.worker.slots), r#"{Queue("high"): 2, Queue("main"): 4}"#);
    assert_eq!(format!("{:?}", settings.worker.labels), r#"{"cluster": "eu1", "provider": "aws"}"#);
}

#[test]
fn tables_and_lists_can_be_one_text() {
    let flags = [("worker.slots", "high=2,low=1"), ("worker.labels", "zone=a"), ("worker.pools", "x, y")];
    let settings = Case::new().read(&flags).expect("good");
    assert_eq!(format!("{:?}", settings.worker.slots), r#"{Queue("high"): 2, Queue("low"): 1}"#);
    assert_eq!(format!("{:?}", settings.worker.labels), r#"{"zone": "a"}"#);
    assert_eq!(settings.worker.pools, [PathBuf::from("x"), PathBuf::from("y")]);
}

#[test]
fn a_file_is_named_by_the_flag_else_by_the_variable_else_found() {
    let case =
        toml("nats.url = 'found:1'").file("b.toml", "nats.url = 'b:1'").file("c.toml", "nats.url = 'c:1'");
    assert_eq!(case.good().nats.url, "found:1");
    let path = |name: &str| case.folder.path().join(name);
    let env = vec![("RFX_CONFIG".into(), path("b.toml").into())];
    let mut sources = Sources { env, directory: Some(case.folder.path().to_owned()), ..Sources::default() };
    assert_eq!(Settings::read(&sources).expect("good").nats.url, "b:1");
    let flag = path("c.toml");
    sources.file = Some(&flag);
    assert_eq!(Settings::read(&sources).expect("good").nats.url, "c:1");
    sources.file = Some(Path::new("missing.toml"));
    assert_snapshot!(
        Settings::read(&sources).expect_err("missing"),
        @"cannot read missing.toml (named by --config): No such file or directory (os error 2)"
    );
}

#[test]
fn there_is_one_whole_identity() {
    let case = Case::new().file("seed", "").env("RFX_NATS__TOKEN", "t");
    let seed = case.folder.path().join("seed").display().to_string();
    let flags = [("nats.nkey", seed.as_str()), ("nats.user", "ann"), ("nats.tls.cert", "missing.pem")];
    assert_snapshot!(case.told(&flags).replace(&seed, "seed"), @r#"
5 settings are not valid
  nats.tls.cert = "missing.pem" (from the command line): there is no such file
  nats.user = "ann" (from the command line): it needs nats.password
  nats.token (from RFX_NATS__TOKEN): nats.user is set too; rfx comes as one identity
  nats.nkey = "seed" (from the command line): nats.user is set too; rfx comes as one identity
  nats.tls.cert = "missing.pem" (from the command line): it needs nats.tls.key
"#);
    let urls = [("nats.url", "nats://url:secret@a:1"), ("nats.user", "ann"), ("nats.password", "p")];
    let settings = Case::new().read(&urls).expect("good");
    assert_eq!(settings.nats.user.as_deref(), Some("ann"), "what is set by its own key wins");
}

#[test]
fn a_context_gives_what_is_not_set_otherwise() {
    let context = r#"{"description": "prod", "url": "nats://ann:p@ctx:1", "creds": "~/ann.creds", "token": "",
        "ca": "", "inbox_prefix": "_INBOX_ann", "jetstream_domain": "hub", "tls_first": false}"#;
    let case = Case::new().file(".config/nats/context/prod.json", context).file("ann.creds", "");
    let case = case.env("RFX_NATS__CONTEXT", "prod");
    let nats = case.good().nats;
    assert_eq!(nats.url, "nats://ctx:1");
    assert_eq!(nats.credentials, Some(case.folder.path().join("ann.creds")));
    assert_eq!((nats.user, nats.domain.as_deref()), (None, Some("hub")));
    assert_eq!(nats.inbox_prefix.as_deref(), Some("_INBOX_ann"));

    let nats = case.read(&[("nats.url", "own:1"), ("nats.token", "t")]).expect("good").nats;
    assert_eq!((nats.url.as_str(), nats.credentials), ("own:1", None), "identities never mix");
    assert_eq!(nats.domain.as_deref(), Some("hub"));
}

#[test]
fn the_standard_otel_variables_are_honoured() {
    let case = Case::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318")
        .env("OTEL_SERVICE_NAME", "nightly")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,broken,tier=ci");
    let telemetry = case.read(&[("telemetry.attributes", "tier=own")]).expect("good").telemetry;
    assert_eq!(telemetry.endpoint.as_deref(), Some("http://otel:4318"));
    assert_eq!(telemetry.service_name.as_deref(), Some("nightly"));
    assert_eq!(format!("{:?}", telemetry.attributes), r#"{"team": "a b", "tier": "own"}"#);

    let flags = [("telemetry.endpoint", "http://own:4318")];
    let own = case.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces");
    assert_eq!(own.good().telemetry.traces_endpoint.as_deref(), Some("http://traces"));
    let telemetry = own.read(&flags).expect("good").telemetry;
    assert_eq!((telemetry.endpoint.as_deref(), telemetry.traces_endpoint), (Some("http://own:4318"), None));
    for (name, value) in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
        let telemetry = Case::new().env(name, value).read(&flags).expect("good").telemetry;
        assert_eq!((telemetry.endpoint, telemetry.traces_endpoint), (None, None), "{name}");
    }
}

#[test]
fn rust_log_wins() {
    let case = Case::new().env("RUST_LOG", "warn,rfx_worker=debug").env("RFX_LOG__LEVEL", "error");
    assert_eq!(case.good().log.level, "warn,rfx_worker=debug");
    assert_snapshot!(Case::new().env("RUST_LOG", "=!").told(&[]), @r#"RUST_LOG = "=!": it must be error, warn, info, debug, trace or off, also for one part: "info,rfx_worker=debug""#);
}
