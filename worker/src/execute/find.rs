//! The pool that has the function of an attempt, among those that are given here.

use rfx_config::process::Failure;
use rfx_config::settings;
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use rfx_schemas::replay::Replay;

use crate::environment::Environments;
use crate::manifest::Declared;
use crate::native::Registry;
use crate::pools::{self, Ready};

/// A function, with its pool made ready.
pub struct Found {
    /// Its pool: its interpreter is kept as long as this is.
    pub ready: Ready,
    /// What the pool says of it.
    pub record: FunctionRecord,
}

impl Found {
    /// Its declaration, if it is an executable.
    pub fn declared(&self) -> Option<&Declared> {
        let (name, version) = (&self.record.name, &self.record.version);
        self.ready.manifest.functions.iter().find(|d| d.name == *name && d.version == *version)
    }

    /// The interpreter of the pool.
    pub fn python(&self) -> &str {
        let environment = self.ready.environment.as_ref().expect("what is no executable is Python");
        &environment.python
    }
}

/// Finds the function in the version that is wanted, else the newest.
pub async fn find(settings: &settings::Worker, replay: &Replay) -> Result<Found, Failure> {
    let (mut others, mut broken): (Vec<FunctionRecord>, Vec<BrokenModule>) = (Vec::new(), Vec::new());
    let environments = Environments::of(settings);
    for pool in &settings.pools {
        let one = settings::Worker { pools: vec![pool.clone()], ..settings.clone() };
        let (records, wrong) = crate::describe(&one, Registry::default()).await.map_err(Failure::usage)?;
        let named =
            records.into_iter().filter(|record| record.name == replay.function && record.flow.is_none());
        let (fitting, rest): (Vec<_>, Vec<_>) =
            named.partition(|record| replay.version.as_ref().is_none_or(|wanted| *wanted == record.version));
        if let Some(record) = fitting.into_iter().max_by_key(|record| record.version.numbers()) {
            let mut ready = pools::ready(&one.pools, &environments).await.map_err(Failure::usage)?;
            return Ok(Found { ready: ready.remove(0), record });
        }
        others.extend(rest);
        broken.extend(wrong);
    }
    Err(Failure::usage(missing(settings, replay, &others, &broken)))
}

fn missing(
    settings: &settings::Worker,
    replay: &Replay,
    others: &[FunctionRecord],
    broken: &[BrokenModule],
) -> String {
    let name = &replay.function;
    let version = replay.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    if settings.pools.is_empty() {
        return format!("there is no pool here to take {name}{version} from; name it with --pool DIR");
    }
    let pools: Vec<_> = settings.pools.iter().map(|pool| pool.display().to_string()).collect();
    let mut text = format!("{} has no {name}{version}", pools.join(", "));
    if !others.is_empty() {
        let versions: Vec<_> = others.iter().map(|record| record.version.as_str()).collect();
        text.push_str(&format!(
            "; it has version {} of it: check out the pool as it was",
            versions.join(", ")
        ));
    } else if broken.is_empty() {
        text.push_str("; --pool DIR names another pool");
    }
    for module in broken {
        text.push_str(&format!(
            "\n{} does not import: {}\n{}",
            module.module, module.error, module.traceback
        ));
    }
    text
}
