//! The raw limit of rfx's message pattern, for `cargo xtask bench` to measure rfx against: a guarded
//! job publish on a subject of its own, a pull, a guarded outcome, an ack, the outcome consumed.
//! Nothing but async-nats, and nothing done with a job.
//!
//! `raw jobs URL JOBS` prints jobs/s: 256 publishes in flight, two workers. `raw hops URL HOPS` prints
//! the mean microseconds of a hop: each job is published when the outcome of the one before was read.
//! `raw python-jobs` and `raw python-hops` are the same with a call of a Python child in the loop, and
//! `raw calls` prints the calls/s of two such children without a server.

mod flood;
mod hops;
mod pattern;
mod python;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "raw jobs|hops|python-jobs|python-hops|calls URL NUMBER";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [what, url, number] = args.as_slice() else { return Err(USAGE.into()) };
    let figure = match what.as_str() {
        "jobs" => flood::measure(url, number.parse()?, false).await?,
        "python-jobs" => flood::measure(url, number.parse()?, true).await?,
        "hops" => hops::measure(url, number.parse()?, false).await?,
        "python-hops" => hops::measure(url, number.parse()?, true).await?,
        "calls" => python::measure(number.parse()?).await?,
        _ => return Err(USAGE.into()),
    };
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{figure:.1}\n"))?;
    Ok(())
}
