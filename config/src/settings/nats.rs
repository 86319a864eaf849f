//! The section `[nats]`: where to connect, as whom, and what is kept there.

use super::reader::Reader;
use super::server::{self, Identity};
use super::{Nats, parse};
use crate::secret::Secret;

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>) -> Nats {
    let servers = reader.get("nats.url", |value| server::parse(&parse::text(value)?));
    let mut nats = Nats {
        url: servers.url,
        user: reader.get("nats.user", parse::optional),
        password: reader.get("nats.password", parse::optional).map(Secret::new),
        token: reader.get("nats.token", parse::optional).map(Secret::new),
        credentials: reader.file("nats.credentials"),
        nkey: reader.file("nats.nkey"),
        context: reader.get("nats.context", parse::optional),
        tls_ca: reader.file("nats.tls.ca"),
        tls_cert: reader.file("nats.tls.cert"),
        tls_key: reader.file("nats.tls.key"),
        tls_required: reader.get("nats.tls.required", parse::flag),
        inbox_prefix: reader.get("nats.inbox_prefix", tokens),
        domain: reader.get("nats.domain", token),
        namespace: reader.get("nats.namespace", parse::name),
        replicas: reader.get("nats.replicas", replicas),
        ack_wait: reader.get("nats.ack_wait", parse::duration("1s"..="10min")),
        connect_timeout: reader.get("nats.connect_timeout", parse::duration("100ms"..="5min")),
    };
    check_identity(&nats, reader);
    check_certificate(&nats, reader);
    if let Some(identity) = servers.identity {
        adopt(&mut nats, identity);
    }
    nats
}

/// Takes the identity in the URLs if nothing else says one.
fn adopt(nats: &mut Nats, identity: Identity) {
    if nats.user.is_some() || nats.token.is_some() || nats.credentials.is_some() || nats.nkey.is_some() {
        return;
    }
    match identity {
        Identity::User(user, password) => {
            nats.user = Some(user);
            nats.password = Some(password);
        }
        Identity::Token(token) => nats.token = Some(token),
    }
}

/// One identity, and a whole one: a half would be refused by the server with less to say.
fn check_identity(nats: &Nats, reader: &mut Reader<'_>) {
    match (&nats.user, &nats.password) {
        (Some(_), None) => reader.refuse("nats.user", "it needs nats.password"),
        (None, Some(_)) => reader.refuse("nats.password", "it needs nats.user"),
        _ => {}
    }
    let ways = [
        ("nats.user", nats.user.is_some()),
        ("nats.token", nats.token.is_some()),
        ("nats.credentials", nats.credentials.is_some()),
        ("nats.nkey", nats.nkey.is_some()),
    ];
    let set: Vec<_> = ways.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect();
    if let [first, rest @ ..] = set.as_slice() {
        for key in rest {
            reader.refuse(key, &format!("{first} is set too; rfx comes as one identity"));
        }
    }
}

fn check_certificate(nats: &Nats, reader: &mut Reader<'_>) {
    match (&nats.tls_cert, &nats.tls_key) {
        (Some(_), None) => reader.refuse("nats.tls.cert", "it needs nats.tls.key"),
        (None, Some(_)) => reader.refuse("nats.tls.key", "it needs nats.tls.cert"),
        _ => {}
    }
}

fn replicas(value: &config::Value) -> parse::Parsed<usize> {
    let replicas = parse::number(1..=5)(value).ok().filter(|replicas| replicas % 2 == 1);
    replicas.ok_or_else(|| "it must be 1, 3 or 5".to_owned())
}

/// One token of a subject, or none.
fn token(value: &config::Value) -> parse::Parsed<Option<String>> {
    let text = tokens(value)?;
    let one = text.as_ref().is_none_or(|text| !text.contains('.'));
    if one { Ok(text) } else { Err("it must be one name without dots, such as hub".to_owned()) }
}

/// Tokens of a subject, or none.
fn tokens(value: &config::Value) -> parse::Parsed<Option<String>> {
    let text = parse::optional(value)?;
    let valid = |token: &str| {
        !token.is_empty()
            && !token.contains(['*', '>'])
            && !token.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if text.as_ref().is_none_or(|text| text.split('.').all(valid)) {
        Ok(text)
    } else {
        Err("it must be names joined by dots, without spaces, * and >, such as _INBOX_alice".to_owned())
    }
}
