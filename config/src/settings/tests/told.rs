//! What wrong settings are told, word for word.

use super::*;

#[test]
fn wrong_values_say_key_value_origin_and_what_is_allowed() {
    let text = "\
[nats]
replicas = 4
ack_wait = 30
connect_timeout = '6min'
namespace = 'Team A'
inbox_prefix = '_INBOX.>'
domain = 'a.b'
tls.required = 'yes'

[worker]
group = 'run'
pools = 7
max_deliveries = 0
python = ''

[worker.slots]
main = 5000
Low = 1

[worker.labels]
Zone = 'a'
rack = ''

[log]
level = 'loud,,='
format = 'xml'
";
    assert_snapshot!(toml(text).told(&[]), @r#"
17 settings are not valid
  nats.tls.required = "yes" (from rfx.toml:8): it must be true or false
  nats.inbox_prefix = "_INBOX.>" (from rfx.toml:6): it must be names joined by dots, without spaces, * and >, such as _INBOX_alice
  nats.domain = "a.b" (from rfx.toml:7): it must be one name without dots, such as hub
  nats.namespace = "Team A" (from rfx.toml:5): it is not a namespace name: use lower-case letters, digits and inner hyphens, such as rfx or team-a
  nats.replicas = 4 (from rfx.toml:2): it must be 1, 3 or 5
  nats.ack_wait = 30 (from rfx.toml:3): it must be a duration with a unit, from 1s to 10min, such as "30s"
  nats.connect_timeout = "6min" (from rfx.toml:4): it must be a duration with a unit, from 100ms to 5min, such as "30s"
  worker.pools = 7 (from rfx.toml:12): it must be a list of texts, or one text with commas
  worker.slots.Low = 1 (from rfx.toml:18): it is not a queue name: use lower-case letters, digits and inner hyphens, such as high
  worker.slots.main = 5000 (from rfx.toml:17): it must be a whole number from 0 to 4096; 0 is one per core
  worker.group = "run" (from rfx.toml:11): it is not a group name: use lower-case letters, digits and inner hyphens, such as aws-eu1 (and not the word run)
  worker.labels.Zone = "a" (from rfx.toml:21): a label's key is lower-case letters, digits and _ - . /
  worker.labels.rack = "" (from rfx.toml:22): a label has a value
  worker.python = "" (from rfx.toml:14): it must not be empty
  worker.max_deliveries = 0 (from rfx.toml:13): it must be a whole number from 1 to 1000
  log.level = "loud,,=" (from rfx.toml:25): it must be error, warn, info, debug, trace or off, also for one part: "info,rfx_worker=debug"
  log.format = "xml" (from rfx.toml:26): it must be text or json
"#);
}

#[test]
fn what_is_no_key_is_refused_with_the_nearest() {
    let case = toml("[nats]\nulr = 'x'\n[worker.slot]\nmain = 1\n[colour]\nlog = 1\n[log]\nurl = 1\n");
    let case = case.env("RFX_NATS_URL", "x").env("RFX_WORKER__SLOTS__MAIN__X", "1").env("RFX_FOO", "1");
    assert_snapshot!(case.told(&[("nats.tls", "on"), ("worker.drain.max", "1")]), @r#"
9 settings are not valid
  unknown setting colour (from rfx.toml:6)
  unknown setting log.url (from rfx.toml:8); did you mean nats.url?
  unknown setting nats.ulr (from rfx.toml:2); did you mean nats.url?
  unknown setting worker.slot (from rfx.toml:4); did you mean worker.slots?
  unknown variable RFX_FOO
  unknown variable RFX_NATS_URL; did you mean RFX_NATS__URL?
  nats.tls = "on" (from the command line): it is a table, set one of the keys in it, such as nats.tls.ca
  worker.drain = {…} (from the command line): it takes one value, not a table
  worker.slots.main = {…} (from RFX_WORKER__SLOTS__MAIN__X): it must be a whole number from 0 to 4096; 0 is one per core
"#);
}

#[test]
fn a_file_that_is_no_toml_says_its_lines_but_not_what_is_in_them() {
    let case = toml("[nats]\npassword = 'hunter2\nurl = 'a:1'\n[nats]\n").env("RFX_NATS__REPLICAS", "2");
    assert_snapshot!(case.told(&[]), @r#"
4 settings are not valid
  rfx.toml:2: invalid literal string, expected `'`
  rfx.toml:4: duplicate key
  nats.replicas = "2" (from RFX_NATS__REPLICAS): it must be 1, 3 or 5
  nats.password (from rfx.toml:2): it needs nats.user
"#);
}

#[test]
fn secrets_are_in_no_message_and_no_debug_output() {
    let case = Case::new()
        .env("RFX_NATS__PASSWORD", "hunter2")
        .env("RFX_NATS__TOKEN", "hunter3")
        .env("RFX_NATS__URL", "nats://ann:hunter4@:x")
        .file("rfx.toml", "[nats]\npassword = 5\n");
    assert_snapshot!(case.told(&[]), @r#"
2 settings are not valid
  nats.url = "nats://…@:x" (from RFX_NATS__URL): it needs a host and, after a colon, a port: nats://127.0.0.1:4222
  nats.password (from RFX_NATS__PASSWORD): it needs nats.user
"#);
    let settings = Case::new().env("RFX_NATS__URL", "nats://ann:hunter4@a:1").good();
    assert!(!format!("{settings:?}").contains("hunter"), "{settings:?}");
    assert_eq!(settings.nats.password.as_ref().map(Secret::reveal), Some("hunter4"));
    assert_snapshot!(toml("nats.token = 5").told(&[]), @"nats.token (from rfx.toml:1): it must be a text in quotes");
}

#[test]
fn a_context_that_cannot_be_used_says_why() {
    let case = Case::new()
        .file("xdg/nats/context/dev.json", "{}")
        .file("xdg/nats/context/broken.json", "{\n\"token\": hunter2")
        .file("xdg/nats/context/proxy.json", r#"{"socks_proxy": "a:1"}"#)
        .file("xdg/nats/context/wrong.json", r#"{"url": "http://a"}"#);
    let xdg = case.folder.path().join("xdg").display().to_string();
    let case = case.env("XDG_CONFIG_HOME", &xdg);
    let told = |name| case.told(&[("nats.context", name)]);
    assert_snapshot!(told("prod"), @r#"nats.context = "prod" (from the command line): no such context in xdg/nats/context; there are: broken, dev, proxy, wrong"#);
    assert_snapshot!(told("../context/dev"), @r#"nats.context = "../context/dev" (from the command line): no such context in xdg/nats/context; there are: broken, dev, proxy, wrong"#);
    assert_snapshot!(told("broken"), @r#"nats.context = "broken" (from the command line): xdg/nats/context/broken.json:2: it is not JSON"#);
    assert_snapshot!(told("proxy"), @r#"nats.context = "proxy" (from the command line): xdg/nats/context/proxy.json uses socks_proxy, which rfx cannot; set the connection under [nats] instead"#);
    assert_snapshot!(told("wrong"), @r#"nats.url = "http://a" (from xdg/nats/context/wrong.json): a server's URL starts with nats://, tls://, ws:// or wss://"#);
    assert_snapshot!(Case::new().told(&[("nats.context", "dev")]), @r#"nats.context = "dev" (from the command line): there are no contexts in .config/nats/context"#);
}
