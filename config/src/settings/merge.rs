//! The layers of settings, put above each other by the `config` crate.

use std::path::{Path, PathBuf};

use config::{Config, Source, Value};

use super::environment::Environment;
use super::keys::{self, Known, Table};
use super::{Sources, context, default_toml, toml_layer};

/// What messages call the flags.
const FLAGS: &str = "the command line";

/// A layer, as the `config` crate takes it.
#[derive(Debug, Clone)]
struct Layer(Table);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// The merged values and the built-in ones. What is no setting at all is said and left out.
pub(super) fn merge(
    sources: &Sources<'_>,
    environment: &Environment,
    problems: &mut Vec<String>,
) -> (Table, Table) {
    let defaults = toml_layer::defaults(default_toml());
    let known = Known::of(&defaults);
    let layers = [file(sources, environment, problems), environment.layer(problems), flags(sources.flags)];
    let layers = layers.map(|layer| known.prune(layer, problems));
    let set = stack(layers);
    let context = context::layer(&stack([defaults.clone(), set.clone()]), environment, problems);
    (stack([defaults.clone(), context, set]), defaults)
}

fn stack(layers: impl IntoIterator<Item = Table>) -> Table {
    let builder = layers.into_iter().fold(Config::builder(), |all, layer| all.add_source(Layer(layer)));
    builder.build().and_then(|merged| merged.collect()).expect("layers are in memory and pruned to tables")
}

fn flags(flags: &[(&str, &str)]) -> Table {
    let mut layer = Table::new();
    let origin = FLAGS.to_owned();
    for (key, value) in flags {
        let path: Vec<_> = key.split('.').collect();
        keys::insert(&mut layer, &path, Value::new(Some(&origin), *value));
    }
    layer
}

/// The layer of the file: the one that is named, which must be there, or `rfx.toml`, which need not.
fn file(sources: &Sources<'_>, environment: &Environment, problems: &mut Vec<String>) -> Table {
    let named = sources.file.map(|path| (path.to_owned(), "--config"));
    let named =
        named.or_else(|| environment.get("RFX_CONFIG").map(|path| (PathBuf::from(path), "RFX_CONFIG")));
    let (path, by) = match (named, &sources.directory) {
        (Some((path, by)), _) => (path, Some(by)),
        (None, Some(directory)) => (directory.join("rfx.toml"), None),
        (None, None) => return Table::new(),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => toml_layer::file(&name(&path), &text, problems),
        Err(error) if by.is_none() && error.kind() == std::io::ErrorKind::NotFound => Table::new(),
        Err(error) => {
            let by = by.map_or(String::new(), |by| format!(" (named by {by})"));
            problems.push(format!("cannot read {}{by}: {error}", name(&path)));
            Table::new()
        }
    }
}

fn name(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
