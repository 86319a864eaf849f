//! Connecting: where to, as whom, and what to say when it does not work.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, Event, jetstream};
use rfx_config::settings::Nats;
use rfx_schemas::name::Member;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::{SERVER_FLOOR, Topology};
use tokio::sync::watch;

use crate::error::TransportError;
use crate::publish::Publisher;
use crate::{ANSWER, Inner, Transport};

/// Messages that may wait in a client for the socket, and in a subscription for its reader. Bounded
/// by what a pull asks for, so this is headroom, not a queue.
const CAPACITY: usize = 65_536;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there, or the name does not resolve.
    #[error(
        "no NATS server at {url}: {reason}; start one with `nats-server -js`, or set nats.url (RFX_NATS__URL)"
    )]
    Refused {
        /// Where.
        url: String,
        /// The system's words.
        reason: String,
    },
    /// The server did not take the credentials.
    #[error(
        "{url} refused {identity}; set nats.credentials, nats.nkey or nats.user and nats.password to what the server knows"
    )]
    Credentials {
        /// Where.
        url: String,
        /// As whom we came.
        identity: String,
    },
    /// TLS could not be agreed on.
    #[error("{url}: TLS failed: {reason}; check nats.tls.ca, nats.tls.cert and nats.tls.key")]
    Tls {
        /// Where.
        url: String,
        /// The library's words.
        reason: String,
    },
    /// A file with credentials cannot be read.
    #[error("cannot read {what} {path}: {reason}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The connection is there, but not what rfx needs behind it.
    #[error(transparent)]
    Server(#[from] TransportError),
}

/// As whom a connection comes, without secrets.
fn identity(nats: &Nats) -> String {
    match (&nats.user, &nats.credentials, &nats.nkey, &nats.token) {
        (Some(user), ..) => format!("user {user} and the password"),
        (_, Some(path), ..) => format!("the credentials in {}", path.display()),
        (_, _, Some(path), _) => format!("the nkey in {}", path.display()),
        (.., Some(_)) => "the token".to_owned(),
        _ => "a connection without credentials".to_owned(),
    }
}

async fn options(nats: &Nats, name: &str) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::new()
        .name(name)
        .client_capacity(CAPACITY)
        .subscription_capacity(CAPACITY)
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(nats.connect_timeout)
        .require_tls(nats.tls_required);
    if let Some(user) = &nats.user {
        let password = nats.password.as_ref().map(|p| p.reveal().to_owned()).unwrap_or_default();
        options = options.user_and_password(user.clone(), password);
    }
    if let Some(token) = &nats.token {
        options = options.token(token.reveal().to_owned());
    }
    let file = |what, path: &PathBuf, error: std::io::Error| ConnectError::File {
        what,
        path: path.clone(),
        reason: error.to_string(),
    };
    if let Some(path) = &nats.credentials {
        options = options.credentials_file(path).await.map_err(|e| file("the credentials file", path, e))?;
    }
    if let Some(path) = &nats.nkey {
        let seed = tokio::fs::read_to_string(path).await.map_err(|e| file("the nkey file", path, e))?;
        options = options.nkey(seed.trim().to_owned());
    }
    for path in [&nats.tls_ca, &nats.tls_cert, &nats.tls_key].into_iter().flatten() {
        tokio::fs::metadata(path).await.map_err(|e| file("the TLS file", path, e))?;
    }
    if let Some(ca) = &nats.tls_ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(certificate), Some(key)) = (&nats.tls_cert, &nats.tls_key) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(prefix) = &nats.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    Ok(options)
}

/// Connects once; afterwards the client connects again by itself whenever it has to.
///
/// `name` is what the server's list of connections shows.
pub async fn connect(nats: &Nats, name: &str) -> Result<Transport, ConnectError> {
    let topology = Topology::new(nats.namespace.clone(), nats.replicas).with_ack_wait(nats.ack_wait);
    let (sender, connected) = watch::channel(0);
    let complaint = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&complaint);
    let options = options(nats, name).await?.event_callback(move |event| {
        note(&event, &sender, &heard);
        std::future::ready(())
    });
    let addresses: Vec<_> = nats.url.split(',').map(str::trim).collect();
    let connecting = tokio::time::timeout(nats.connect_timeout, options.connect(addresses));
    let client = match connecting.await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(explain(nats, &error)),
        Err(_) => {
            let reason = format!("no answer within {} s", nats.connect_timeout.as_secs());
            return Err(ConnectError::Refused { url: nats.url.clone(), reason });
        }
    };
    let (js, api) = match &nats.domain {
        Some(domain) => (jetstream::with_domain(client.clone(), domain), format!("$JS.{domain}.API")),
        None => (jetstream::new(client.clone()), "$JS.API".to_owned()),
    };
    let publisher = Publisher::start(client.clone()).await?;
    let subjects = topology.subjects();
    let server = nats.url.clone();
    // Whole runs have fewer processes than a microsecond's digits tell apart.
    let salt = Stamp::now().as_micros() as u32;
    let member = Member::for_process(&rfx_config::process::host(), std::process::id(), salt);
    let inner =
        Inner { client, js, api, topology, subjects, publisher, connected, complaint, server, member };
    let transport = Transport { inner: Arc::new(inner) };
    transport.check_version()?;
    transport.check_jetstream().await?;
    Ok(transport)
}

fn note(event: &Event, connected: &watch::Sender<u64>, complaint: &Mutex<Option<String>>) {
    match event {
        Event::Connected => connected.send_modify(|n| *n += 1),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost, connecting again"),
        Event::ServerError(error) => {
            tracing::warn!(%error, "NATS complains");
            *complaint.lock().expect("no panic holds it") = Some(error.to_string());
        }
        other => tracing::debug!(event = %other, "NATS connection"),
    }
}

fn explain(nats: &Nats, error: &async_nats::ConnectError) -> ConnectError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    let url = nats.url.clone();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Credentials { url, identity: identity(nats) }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { url, reason },
        // A wrong user or password ends the handshake with this text and the kind Io.
        _ if reason.to_lowercase().contains("authorization") => {
            ConnectError::Credentials { url, identity: identity(nats) }
        }
        _ => ConnectError::Refused { url, reason },
    }
}

impl Transport {
    fn check_version(&self) -> Result<(), TransportError> {
        let found = self.client().server_info().version;
        let mut numbers = found.split(['.', '-']).map(|n| n.parse::<u64>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version >= SERVER_FLOOR {
            return Ok(());
        }
        let (major, minor, patch) = SERVER_FLOOR;
        let needed = format!("{major}.{minor}.{patch}");
        Err(TransportError::TooOld { server: self.server().to_owned(), found, needed })
    }

    async fn check_jetstream(&self) -> Result<(), TransportError> {
        let asking = self.client().request(self.api("INFO"), bytes::Bytes::new());
        match tokio::time::timeout(ANSWER, asking).await {
            Ok(Ok(answer)) => {
                let off =
                    String::from_utf8_lossy(&answer.payload).to_lowercase().contains("jetstream not enabled");
                if off { Err(self.no_jetstream()) } else { Ok(()) }
            }
            Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Err(self.no_jetstream())
            }
            Ok(Err(error)) => Err(TransportError::failed("asking for JetStream", error)),
            Err(_) => Err(self.no_answer("asking for JetStream", ANSWER)),
        }
    }

    fn no_jetstream(&self) -> TransportError {
        TransportError::NoJetStream { server: self.server().to_owned() }
    }
}
