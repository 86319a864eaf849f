//! `functions`: what workers offer.

use rfx_config::process::{Failure, print};
use rfx_flow::diagnostic::did_you_mean;
use rfx_publisher::catalogue::{self, workers};
use rfx_schemas::exit;
use rfx_schemas::record::{BrokenModule, FunctionRecord};

use super::Desk;
use crate::args::Functions;

/// Lists, searches or shows functions.
pub async fn functions(desk: Desk, command: Option<Functions>) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    transport.ensure().await.map_err(Failure::unavailable)?;
    let all = catalogue::functions(&transport).await.map_err(Failure::unavailable)?;
    match command.unwrap_or(Functions::List) {
        Functions::List => {
            let up = workers(&transport).await.map_err(Failure::unavailable)?;
            let mut broken: Vec<_> = up.into_iter().flat_map(|worker| worker.broken).collect();
            broken.sort_by(|a, b| (&a.pool, &a.module).cmp(&(&b.pool, &b.module)));
            broken.dedup();
            print(&format!("{}{}", table(&all), broken_list(&broken)))?;
        }
        Functions::Search { text } => {
            let found: Vec<_> = all.into_iter().filter(|f| holds(f, &text)).collect();
            match found.is_empty() {
                true => {
                    print(&format!("no function has to do with {text:?}; rfx-publish functions lists all\n"))?
                }
                false => print(&table(&found))?,
            }
        }
        Functions::Show { name } => {
            let found: Vec<_> = all.iter().filter(|f| f.name.as_str() == name).collect();
            if found.is_empty() {
                let help = did_you_mean(&name, all.iter().map(|f| f.name.as_str()))
                    .unwrap_or_else(|| "rfx-publish functions lists what there is".to_owned());
                return Err(Failure::usage(format!("no function {name}; {help}")));
            }
            print(&found.iter().map(|f| detail(f)).collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(exit::PASSED)
}

/// Whether a function has to do with a text.
fn holds(function: &FunctionRecord, text: &str) -> bool {
    let text = text.to_lowercase();
    let own = [
        function.name.as_str(),
        &function.doc,
        function.owner.as_deref().unwrap_or_default(),
        &function.pool,
    ];
    own.into_iter()
        .chain(function.tags.iter().map(String::as_str))
        .any(|own| own.to_lowercase().contains(&text))
}

fn table(functions: &[FunctionRecord]) -> String {
    if functions.is_empty() {
        return "no functions; workers announce those of their pools\n".to_owned();
    }
    let mut table = super::table(["function", "version", "group", "pool", "tags", "about"]);
    for function in functions {
        table.add_row([
            function.name.as_str(),
            function.version.as_str(),
            function.group.as_str(),
            &function.pool,
            &function.tags.join(", "),
            function.doc.lines().next().unwrap_or_default(),
        ]);
    }
    format!("{table}\n")
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

fn detail(function: &FunctionRecord) -> String {
    let kind = if function.flow.is_some() { " (a flow)" } else { "" };
    let mut text = format!("{}@{}{kind}\n", function.name, function.version);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:8} {value}\n"));
        }
    };
    line("group", function.group.as_str());
    line("queue", function.queue.as_str());
    line("pool", &function.pool);
    line("source", function.source.as_deref().unwrap_or_default());
    line("owner", function.owner.as_deref().unwrap_or_default());
    line("tags", &function.tags.join(", "));
    line("timeout", &function.timeout.map(|s| format!("{s} s")).unwrap_or_default());
    line("seen", &function.seen.to_string());
    function.doc.lines().for_each(|doc| text.push_str(&format!("  {doc}\n")));
    for (name, schema) in [("input", &function.input), ("output", &function.output)] {
        if !schema.is_null() {
            text.push_str(&format!("  {name}:\n"));
            let pretty = serde_json::to_string_pretty(schema).unwrap_or_default();
            pretty.lines().for_each(|schema| text.push_str(&format!("    {schema}\n")));
        }
    }
    text
}
