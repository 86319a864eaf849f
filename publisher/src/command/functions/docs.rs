//! `functions docs`: the catalogue as a page.

use std::path::{Path, PathBuf};

use rfx_config::process::{Failure, print};
use rfx_report::catalogue::Entry;
use rfx_report::catalogue::page::page;
use rfx_schemas::exit;

use super::Shelf;
use crate::command::{Desk, pool};

/// Writes the page of a server's catalogue, or of some pools' folders.
pub async fn write(desk: Desk, to: &Path, pools: &[PathBuf]) -> Result<u8, Failure> {
    let (shelf, from) = match pools {
        [] => {
            let transport = desk.connect().await?;
            (Shelf::read(&transport).await?, format!("As announced at {}", transport.server()))
        }
        pools => {
            let names: Vec<_> = pools.iter().map(|pool| pool.display().to_string()).collect();
            (of_folders(pools)?, format!("Of {}", names.join(", ")))
        }
    };
    let file = if is_folder(to) { to.join("index.html") } else { to.to_owned() };
    put(&file, &page(&shelf.entries, &shelf.broken, &from))?;
    print(&format!("{}\n", file.display()))?;
    Ok(exit::PASSED)
}

fn of_folders(pools: &[PathBuf]) -> Result<Shelf, Failure> {
    let pool::Described { functions, broken } = pool::describe(pools)?;
    // Those that every worker has are not the pool's.
    let mut own: Vec<_> = functions.into_iter().filter(|record| record.pool != "native").collect();
    own.sort_by_key(|record| (record.name.clone(), record.version.numbers()));
    Ok(Shelf { entries: own.into_iter().map(Entry::of_folder).collect(), broken })
}

/// Whether a path is meant as a folder: it is one, or ends like one.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn put(file: &Path, text: &str) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(file, text))
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))
}
