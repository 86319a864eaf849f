//! Contexts of the NATS CLI: connections that a person has named already.

use std::path::{Path, PathBuf};

use config::{Value, ValueKind};
use serde_json::Value as Json;

use super::environment::Environment;
use super::keys::{self, Table};
use super::problem;

/// The fields of a context that we can use, and the settings they stand for.
const FIELDS: [(&str, &str); 11] = [
    ("url", "nats.url"),
    ("user", "nats.user"),
    ("password", "nats.password"),
    ("token", "nats.token"),
    ("creds", "nats.credentials"),
    ("nkey", "nats.nkey"),
    ("ca", "nats.tls.ca"),
    ("cert", "nats.tls.cert"),
    ("key", "nats.tls.key"),
    ("inbox_prefix", "nats.inbox_prefix"),
    ("jetstream_domain", "nats.domain"),
];

/// The settings that say as whom we come.
pub(super) const IDENTITY: [&str; 5] =
    ["nats.user", "nats.password", "nats.token", "nats.credentials", "nats.nkey"];

/// Fields that change how one connects, and that we cannot honour: leaving them out would fail later
/// and say less.
const UNUSABLE: [&str; 6] =
    ["nsc", "user_jwt", "user_seed", "socks_proxy", "jetstream_api_prefix", "tls_first"];

/// What the context that `values` name gives; nothing if they name none.
pub(super) fn layer(values: &Table, environment: &Environment, problems: &mut Vec<String>) -> Table {
    let chosen = keys::get(values, "nats.context").expect("default.toml has it");
    let ValueKind::String(name) = &chosen.kind else { return Table::new() };
    if name.is_empty() {
        return Table::new();
    }
    let read = folder(environment).and_then(|folder| read(&folder, name));
    let read = read.and_then(|(path, fields)| usable(values, &path, &fields));
    read.unwrap_or_else(|reason| {
        problems.push(problem::of_value("nats.context", chosen, &reason));
        Table::new()
    })
}

fn folder(environment: &Environment) -> Result<PathBuf, String> {
    let configs = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let configs = configs.or_else(|| environment.home().map(|home| home.join(".config")));
    let configs = configs.ok_or("contexts are in $XDG_CONFIG_HOME or $HOME/.config, and neither is set")?;
    Ok(configs.join("nats").join("context"))
}

fn read(folder: &Path, name: &str) -> Result<(PathBuf, serde_json::Map<String, Json>), String> {
    let path = folder.join(format!("{name}.json"));
    if name.contains(['/', '\\']) || !path.exists() {
        return Err(missing(folder));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    match serde_json::from_str(&text) {
        Ok(Json::Object(fields)) => Ok((path, fields)),
        Ok(_) => Err(format!("{} is not a JSON object", path.display())),
        Err(error) => Err(format!("{}:{}: it is not JSON", path.display(), error.line())),
    }
}

fn missing(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| PathBuf::from(entry.file_name()));
    let contexts = names.filter(|name| name.extension().is_some_and(|extension| extension == "json"));
    let mut names: Vec<_> =
        contexts.filter_map(|name| Some(name.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    match names.is_empty() {
        true => format!("there are no contexts in {}", folder.display()),
        false => format!("no such context in {}; there are: {}", folder.display(), names.join(", ")),
    }
}

/// The fields as a layer. If an identity is set elsewhere, the context's is left out as a whole, so
/// that two identities never mix.
fn usable(values: &Table, path: &Path, fields: &serde_json::Map<String, Json>) -> Result<Table, String> {
    let unusable = UNUSABLE.into_iter().find(|name| fields.get(*name).is_some_and(is_set));
    if let Some(name) = unusable {
        return Err(format!(
            "{} uses {name}, which rfx cannot; set the connection under [nats] instead",
            path.display()
        ));
    }
    let known = has_identity(values);
    let origin = path.display().to_string();
    let mut layer = Table::new();
    for (field, key) in FIELDS {
        if let Some(Json::String(text)) = fields.get(field).filter(|value| is_set(value))
            && !(known && IDENTITY.contains(&key))
        {
            let path: Vec<_> = key.split('.').collect();
            keys::insert(&mut layer, &path, Value::new(Some(&origin), text.as_str()));
        }
    }
    Ok(layer)
}

fn is_set(value: &Json) -> bool {
    !matches!(value, Json::Null | Json::Bool(false)) && value.as_str() != Some("")
}

fn has_identity(values: &Table) -> bool {
    let text = |key| match keys::get(values, key).map(|value| &value.kind) {
        Some(ValueKind::String(text)) => text.as_str(),
        _ => "",
    };
    IDENTITY.into_iter().any(|key| !text(key).is_empty()) || text("nats.url").contains('@')
}
