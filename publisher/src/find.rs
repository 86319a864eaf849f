//! Finding a run by what people type: an id, the end of one, or `latest`.

use rfx_schemas::id::RunId;
use rfx_transport::run::{Loaded, Summary};
use rfx_transport::{Transport, TransportError};

/// Why no run was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None has that id.
    #[error("there is no run {0}; rfx-publish runs lists those that the server still knows")]
    None(String),
    /// Several ids end like that.
    #[error("{text} is the end of {count} run ids; give more of it")]
    Several {
        /// What was typed.
        text: String,
        /// How many fit.
        count: usize,
    },
    /// NATS is not as needed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// The run that a text means.
pub async fn find(transport: &Transport, text: &str) -> Result<RunId, FindError> {
    if let Ok(run) = text.parse() {
        return Ok(run);
    }
    let runs = transport.runs().await?;
    pick(&runs.iter().map(|r| r.submitted.run).collect::<Vec<_>>(), text)
}

fn pick(runs: &[RunId], text: &str) -> Result<RunId, FindError> {
    if text == "latest" {
        return runs.last().copied().ok_or_else(|| FindError::None(text.to_owned()));
    }
    let fitting: Vec<_> =
        runs.iter().filter(|run| !text.is_empty() && run.to_string().ends_with(text)).collect();
    match fitting[..] {
        [run] => Ok(*run),
        [] => Err(FindError::None(text.to_owned())),
        _ => Err(FindError::Several { text: text.to_owned(), count: fitting.len() }),
    }
}

/// A run with its plan and data.
pub async fn load(transport: &Transport, run: RunId) -> Result<Loaded, FindError> {
    let (submitted, sequence, at) =
        transport.submission(run).await?.ok_or_else(|| FindError::None(run.to_string()))?;
    Ok(transport.load_run(submitted, sequence, at).await?)
}

/// How a run stands, in a word.
pub fn standing(summary: &Summary) -> String {
    summary
        .finished
        .as_ref()
        .map_or_else(|| "running".to_owned(), |(finished, _)| finished.verdict.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_by_the_end_of_their_id() {
        let run = |last: &str| format!("0190b5b2-7c1e-7abc-8def-0123456789{last}").parse().expect("an id");
        let runs: [RunId; 2] = [run("ab"), run("cb")];
        assert_eq!(pick(&runs, "9ab").expect("one"), runs[0]);
        assert_eq!(pick(&runs, "latest").expect("the last"), runs[1]);
        assert!(matches!(pick(&runs, "b"), Err(FindError::Several { count: 2, .. })));
        assert!(matches!(pick(&runs, "x"), Err(FindError::None(_))));
        assert!(matches!(pick(&[], "latest"), Err(FindError::None(_))));
    }
}
