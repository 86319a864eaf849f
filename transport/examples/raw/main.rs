//! The raw limit of rfx's message pattern, for `cargo xtask bench` to measure rfx against: a guarded
//! job publish on a subject of its own, a pull, a guarded outcome, an ack, the outcome consumed.
//! Nothing but async-nats, and nothing done with a job.
//!
//! `raw jobs URL JOBS` prints jobs/s: 256 publishes in flight, two workers. `raw hops URL HOPS` prints
//! the mean microseconds of a hop: each job is published when the outcome of the one before was read.

mod flood;
mod hops;
mod pattern;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "raw jobs|hops URL NUMBER";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [what, url, number] = args.as_slice() else { return Err(USAGE.into()) };
    let figure = match what.as_str() {
        "jobs" => flood::measure(url, number.parse()?).await?,
        "hops" => hops::measure(url, number.parse()?).await?,
        _ => return Err(USAGE.into()),
    };
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{figure:.1}\n"))?;
    Ok(())
}
