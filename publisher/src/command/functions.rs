//! `functions`: what workers offer, as a list, one by one, and as a page.

mod docs;
mod outcomes;

use rfx_config::process::{Failure, print};
use rfx_flow::diagnostic::did_you_mean;
use rfx_publisher::catalogue::{self, workers};
use rfx_report::catalogue::search::{Filter, search};
use rfx_report::catalogue::{Entry, entries, terminal};
use rfx_schemas::exit;
use rfx_schemas::name::Version;
use rfx_schemas::record::{BrokenModule, parse_use};
use rfx_transport::Transport;
use serde_json::{Value, json};

use super::Desk;
use crate::args::{FilterArgs, Functions};

/// Lists, searches or shows functions, or writes their page.
pub async fn functions(desk: Desk, command: Option<Functions>) -> Result<u8, Failure> {
    match command.unwrap_or_else(|| Functions::List(FilterArgs::default())) {
        Functions::List(filter) => list(desk, None, filter).await,
        Functions::Search { text, filter } => {
            let text = Some(text.join(" ")).filter(|text| !text.trim().is_empty());
            list(desk, text, filter).await
        }
        Functions::Show { name, json } => show(desk, &name, json).await,
        Functions::Docs { to, pool } => docs::write(desk, &to, &pool).await,
    }
}

/// What a server knows.
struct Shelf {
    entries: Vec<Entry>,
    broken: Vec<BrokenModule>,
}

impl Shelf {
    async fn read(transport: &Transport) -> Result<Self, Failure> {
        transport.ensure().await.map_err(Failure::unavailable)?;
        let read = tokio::try_join!(catalogue::functions(transport), workers(transport));
        let (records, up) = read.map_err(Failure::unavailable)?;
        let mut broken: Vec<_> = up.iter().flat_map(|worker| worker.broken.clone()).collect();
        broken.sort_by(|a, b| (&a.pool, &a.module).cmp(&(&b.pool, &b.module)));
        broken.dedup();
        Ok(Self { entries: entries(records, &up), broken })
    }
}

async fn list(desk: Desk, text: Option<String>, args: FilterArgs) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    let Shelf { entries, mut broken } = Shelf::read(&transport).await?;
    let FilterArgs { tag, owner, input_type, pool, group, json } = args;
    let filter = Filter { text, tags: tag, owner, input_type, pool, group };
    // A search is for what is there; the list also says what is not, and why.
    broken.retain(|module| filter.is_empty() || filter.pool.as_ref() == Some(&module.pool));
    let found = search(&entries, &filter);
    if json {
        let all: Vec<_> = found.iter().map(|entry| entry.json()).collect();
        print(&format!("{:#}\n", json!({"functions": all, "broken": broken})))?;
        return Ok(exit::PASSED);
    }
    let text = match (found.is_empty(), filter.is_empty()) {
        (false, _) => terminal::list(&found),
        (true, true) => "no functions; workers announce those of their pools\n".to_owned(),
        (true, false) => "no function is like that; rfx-publish functions lists all\n".to_owned(),
    };
    print(&format!("{text}{}", broken_list(&broken)))?;
    Ok(exit::PASSED)
}

fn broken_list(broken: &[BrokenModule]) -> String {
    let mut text = String::new();
    for module in broken {
        let source = module.source.as_deref().unwrap_or("?");
        let (pool, name) = (&module.pool, &module.module);
        text.push_str(&format!("\nbroken: module {name} of pool {pool} ({source}): {}\n", module.error));
        module.traceback.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

async fn show(desk: Desk, text: &str, as_json: bool) -> Result<u8, Failure> {
    let (name, version) = parse_use(text).map_err(Failure::usage)?;
    let transport = desk.connect().await?;
    let Shelf { entries, broken } = Shelf::read(&transport).await?;
    let all: Vec<&Entry> = entries.iter().filter(|entry| entry.record.name == name).collect();
    let Some(chosen) = choose(&all, version.as_ref()) else {
        let help = match all.is_empty() {
            false => format!("it is there in version {}", versions(&all)),
            true => unknown(text, &entries, &broken),
        };
        return Err(Failure::usage(format!("no function {text}; {help}")));
    };
    // Runs tell of it, and nobody waits for them for long.
    let last = outcomes::find(&transport, &name).await;
    if as_json {
        let last: Option<Vec<Value>> = last.map(|last| last.iter().map(terminal::Last::json).collect());
        let mut shown = chosen.json();
        shown["versions"] = all.iter().map(|entry| entry.json()).collect();
        shown["last"] = json!(last);
        print(&format!("{shown:#}\n"))?;
    } else {
        print(&terminal::show(chosen, &all, last.as_deref()))?;
    }
    Ok(exit::PASSED)
}

/// The version that is wanted, else the newest that somebody serves, else the newest.
fn choose<'a>(all: &[&'a Entry], version: Option<&Version>) -> Option<&'a Entry> {
    match version {
        Some(version) => all.iter().find(|entry| entry.record.version == *version).copied(),
        None => all.iter().rev().find(|entry| !entry.is_stopped()).or(all.last()).copied(),
    }
}

fn versions(all: &[&Entry]) -> String {
    all.iter().map(|entry| entry.record.version.as_str()).collect::<Vec<_>>().join(", ")
}

fn unknown(text: &str, entries: &[Entry], broken: &[BrokenModule]) -> String {
    let mut help = did_you_mean(text, entries.iter().map(|entry| entry.record.name.as_str()))
        .unwrap_or_else(|| "rfx-publish functions lists what there is".to_owned());
    if !broken.is_empty() {
        let named: Vec<_> =
            broken.iter().map(|b| format!("{} of pool {}: {}", b.module, b.pool, b.error)).collect();
        help.push_str(&format!("; it may be in a module that does not import: {}", named.join("; ")));
    }
    help
}
