//! Server URLs, and the credentials inside them, which the client library ignores.

use crate::secret::Secret;

/// Schemes of NATS servers.
const SCHEMES: [&str; 4] = ["nats", "tls", "ws", "wss"];

/// A list of server URLs without credentials, and the credentials that were in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Servers {
    /// The URLs, comma-separated.
    pub(super) url: String,
    /// Who the URLs said we are.
    pub(super) identity: Option<Identity>,
}

/// Who a URL says we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// `user:password@`
    User(String, Secret),
    /// `token@`
    Token(Secret),
}

/// Reads a comma-separated list. The reasons never repeat what is before an `@`.
pub(super) fn parse(text: &str) -> Result<Servers, String> {
    let mut urls = Vec::new();
    let mut identity = None;
    for url in text.split(',').map(str::trim) {
        let (clean, found) = one(url)?;
        urls.push(clean);
        match (&identity, found) {
            (Some(known), Some(found)) if *known != found => {
                return Err("the URLs name different users; rfx comes as one".to_owned());
            }
            (None, found) => identity = found,
            _ => {}
        }
    }
    Ok(Servers { url: urls.join(","), identity })
}

/// The list with whatever is before an `@` left out.
pub(crate) fn without_secrets(text: &str) -> String {
    let clean = |url: &str| {
        let (scheme, rest) = split_scheme(url);
        let end = rest.find('/').unwrap_or(rest.len());
        match rest[..end].rsplit_once('@') {
            Some((_, host)) => format!("{scheme}…@{host}{}", &rest[end..]),
            None => url.to_owned(),
        }
    };
    text.split(',').map(clean).collect::<Vec<_>>().join(",")
}

/// `nats://` and what follows; the first part is empty without a scheme.
fn split_scheme(url: &str) -> (&str, &str) {
    url.find("://").map_or(("", url), |at| url.split_at(at + 3))
}

fn one(url: &str) -> Result<(String, Option<Identity>), String> {
    let (scheme, rest) = split_scheme(url);
    if !scheme.is_empty() && !SCHEMES.contains(&scheme.trim_end_matches("://")) {
        return Err("a server's URL starts with nats://, tls://, ws:// or wss://".to_owned());
    }
    let (identity, host) = match rest.rsplit_once('@') {
        Some((info, host)) => (Some(read_identity(info)?), host),
        None => (None, rest),
    };
    let address = host.split('/').next().unwrap_or_default();
    let port = match address.rsplit_once(':') {
        // The colons of an IPv6 address are inside brackets.
        Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok(),
        _ => true,
    };
    let named = !address.is_empty() && !address.starts_with(':');
    if !named || !port || host.contains(char::is_whitespace) {
        return Err("it needs a host and, after a colon, a port: nats://127.0.0.1:4222".to_owned());
    }
    Ok((format!("{scheme}{host}"), identity))
}

fn read_identity(info: &str) -> Result<Identity, String> {
    let decode = |text: &str| decode(text).ok_or("what is before @ has a % that starts no two hex digits");
    match info.split_once(':') {
        Some((user, password)) => Ok(Identity::User(decode(user)?, Secret::new(decode(password)?))),
        None => Ok(Identity::Token(Secret::new(decode(info)?))),
    }
}

/// Percent-decoding; passwords in URLs need it for `@`, `:` and `/`.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_urls() {
        let servers = parse("nats://ann:p%40ss@a:4222, nats://ann:p%40ss@b").expect("valid");
        assert_eq!(servers.url, "nats://a:4222,nats://b");
        assert_eq!(servers.identity, Some(Identity::User("ann".into(), Secret::new("p@ss"))));
        let token = parse("tls://s3cret@host").expect("valid");
        assert_eq!(token.identity, Some(Identity::Token(Secret::new("s3cret"))));
        assert_eq!(parse("[::1]:4222").expect("valid").identity, None);
        assert_eq!(parse("wss://host:443/nats").expect("valid").url, "wss://host:443/nats");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for wrong in ["", "http://a", "nats://", "a:port", "a,,b", "nats://a b", "a:1@x,b:2@y", "%zz:p@host"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shown_urls_hold_no_credentials() {
        let shown = without_secrets("nats://ann:secret@a:4222,b,token@c/x@y");
        assert_eq!(shown, "nats://…@a:4222,b,…@c/x@y");
    }
}
