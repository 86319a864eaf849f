//! Connecting: where to, as whom, and what to say when it does not work.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, Event, jetstream};
use rfx_schemas::topology::{SERVER_FLOOR, Topology};
use tokio::sync::watch;

use crate::error::TransportError;
use crate::publish::Publisher;
use crate::{ANSWER, Inner, Transport};

/// Messages that may wait in a client for the socket, and in a subscription for its reader. Bounded
/// by what a pull asks for, so this is headroom, not a queue.
const CAPACITY: usize = 65_536;

/// How to reach NATS. Credentials are never shown.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// Server URLs, comma-separated.
    pub url: String,
    /// User and password.
    pub user: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// A credentials file (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// A file that holds an nkey seed.
    pub nkey: Option<PathBuf>,
    /// Certificate authorities to trust besides the system's, PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate and its key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether TLS is a must.
    pub tls: bool,
    /// First token of reply subjects, for accounts that give each user its own.
    pub inbox_prefix: Option<String>,
    /// JetStream domain, to reach a hub through a leaf node.
    pub domain: Option<String>,
    /// What the server's connection list shows.
    pub name: String,
    /// Longest wait for the first connection.
    pub timeout: Duration,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({}, {})", self.url, self.identity())
    }
}

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

impl Endpoint {
    /// As whom the connection comes, without secrets.
    fn identity(&self) -> String {
        match (&self.user, &self.credentials, &self.nkey, &self.token) {
            (Some((user, _)), ..) => format!("user {user} and the password"),
            (_, Some(path), ..) => format!("the credentials in {}", path.display()),
            (_, _, Some(path), _) => format!("the nkey in {}", path.display()),
            (.., Some(_)) => "the token".to_owned(),
            _ => "a connection without credentials".to_owned(),
        }
    }

    async fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .client_capacity(CAPACITY)
            .subscription_capacity(CAPACITY)
            .ping_interval(Duration::from_secs(5))
            .connection_timeout(self.timeout)
            .require_tls(self.tls);
        if let Some((user, password)) = &self.user {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(token) = &self.token {
            options = options.token(token.clone());
        }
        let file = |what, path: &PathBuf, error: std::io::Error| ConnectError::File {
            what,
            path: path.clone(),
            reason: error.to_string(),
        };
        if let Some(path) = &self.credentials {
            options =
                options.credentials_file(path).await.map_err(|e| file("the credentials file", path, e))?;
        }
        if let Some(path) = &self.nkey {
            let seed = tokio::fs::read_to_string(path).await.map_err(|e| file("the nkey file", path, e))?;
            options = options.nkey(seed.trim().to_owned());
        }
        for path in self.ca.iter().chain(self.certificate.iter().flat_map(|(c, k)| [c, k])) {
            tokio::fs::metadata(path).await.map_err(|e| file("the TLS file", path, e))?;
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(prefix) = &self.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        Ok(options)
    }
}

/// Connects once; afterwards the client connects again by itself whenever it has to.
pub async fn connect(endpoint: &Endpoint, topology: Topology) -> Result<Transport, ConnectError> {
    let (sender, connected) = watch::channel(0);
    let complaint = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&complaint);
    let options = endpoint.options().await?.event_callback(move |event| {
        note(&event, &sender, &heard);
        std::future::ready(())
    });
    let addresses: Vec<_> = endpoint.url.split(',').map(str::trim).collect();
    let connecting = tokio::time::timeout(endpoint.timeout, options.connect(addresses));
    let client = match connecting.await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(explain(endpoint, &error)),
        Err(_) => {
            let reason = format!("no answer within {} s", endpoint.timeout.as_secs());
            return Err(ConnectError::Refused { url: endpoint.url.clone(), reason });
        }
    };
    let (js, api) = match &endpoint.domain {
        Some(domain) => (jetstream::with_domain(client.clone(), domain), format!("$JS.{domain}.API")),
        None => (jetstream::new(client.clone()), "$JS.API".to_owned()),
    };
    let publisher = Publisher::start(client.clone()).await?;
    let subjects = topology.subjects();
    let server = endpoint.url.clone();
    let inner = Inner { client, js, api, topology, subjects, publisher, connected, complaint, server };
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

fn explain(endpoint: &Endpoint, error: &async_nats::ConnectError) -> ConnectError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    let url = endpoint.url.clone();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Credentials { url, identity: endpoint.identity() }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { url, reason },
        // A wrong user or password ends the handshake with this text and the kind Io.
        _ if reason.to_lowercase().contains("authorization") => {
            ConnectError::Credentials { url, identity: endpoint.identity() }
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
                let off = String::from_utf8_lossy(&answer.payload).contains("jetstream not enabled");
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
