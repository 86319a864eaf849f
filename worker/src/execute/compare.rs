//! How an attempt ended here, beside how it ended when it was recorded.

use std::io::Write as _;

use rfx_schemas::outcome::{Assertion, Failure};
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::replay::{Recorded, Replay};
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;

use crate::attempt::Ending;
use crate::text::shorten;

/// Longest output that is shown, in bytes.
const SHOWN: usize = 4 * 1024;

/// Says that the code here is not that which ran, if it is so.
pub fn say_digest(replay: &Replay, record: &FunctionRecord) {
    let ran = replay.recorded.as_ref().and_then(|recorded| recorded.digest.as_deref());
    if let (Some(ran), Some(here)) = (ran, record.digest.as_deref())
        && ran != here
    {
        let source = record.source.as_deref().unwrap_or("its module");
        let (ran, here) = (short(ran), short(here));
        drop(writeln!(
            std::io::stderr(),
            "{source} is not the code that ran: digest {here} here, {ran} there"
        ));
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The end here and, if it is known, what was recorded.
pub fn told(replay: &Replay, ending: &Ending) -> String {
    let output = ending.output.as_deref().and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let mut text = format!("\n{}\n", ended(ending.kind, ending.error.as_ref()));
    for line in ending.error.iter().flat_map(|error| [&error.traceback, &error.diff]).flatten() {
        text.extend(line.lines().map(|line| format!("{}\n", format!("  {line}").trim_end())));
    }
    for one in ending.assertions.iter().filter(|assertion| !assertion.passed) {
        text.push_str(&format!("  {}\n", held_not(one)));
    }
    if let Some(output) = &output {
        text.push_str(&format!("  output: {}\n", shorten(&output.to_string(), SHOWN)));
    }
    match &replay.recorded {
        Some(recorded) => text.push_str(&compared(recorded, ending, output.as_ref())),
        None => text.push_str("nothing is recorded of this attempt to compare it with\n"),
    }
    text
}

/// An assertion that did not hold, with as much as is there of it.
fn held_not(assertion: &Assertion) -> String {
    let Assertion { label, expected, seen, message, .. } = assertion;
    let part = |what: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!("{what}{}", shorten(text, SHOWN)))
    };
    let parts = [part("expected ", expected), part("seen ", seen), part("", message)];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>();
    if parts.is_empty() { format!("{label} does not hold") } else { format!("{label}: {}", parts.join(", ")) }
}

fn ended(kind: OutcomeKind, error: Option<&Failure>) -> String {
    match error {
        Some(error) => format!("{kind}: {}: {}", error.kind, shorten(&error.message, SHOWN)),
        None => kind.to_string(),
    }
}

fn compared(recorded: &Recorded, ending: &Ending, output: Option<&Value>) -> String {
    let (was, is) = (recorded.error.as_ref(), ending.error.as_ref());
    let same_kind = recorded.kind == ending.kind && was.map(|e| &e.kind) == is.map(|e| &e.kind);
    let told = ended(recorded.kind, was);
    let told = told.lines().next().unwrap_or_default();
    if !same_kind {
        return format!("different from the recorded outcome: {told}\n");
    }
    if was.map(|e| &e.message) != is.map(|e| &e.message) {
        return format!("the recorded outcome, with another message: {told}\n");
    }
    match (&recorded.output, output) {
        (Some(was), Some(is)) if was != is => {
            format!("the recorded outcome, with another output: {}\n", shorten(&was.to_string(), SHOWN))
        }
        _ => "the same as the recorded outcome\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(kind: OutcomeKind, error: Option<(&str, &str)>, output: Option<&str>) -> Ending {
        Ending {
            error: error.map(|(kind, message)| Failure::new(kind, message)),
            output: output.map(|text| text.to_owned().into()),
            ..Ending::of(kind)
        }
    }

    #[test]
    fn an_assertion_is_shown_with_what_is_there_of_it() {
        let said = |expected: Option<&str>, seen: Option<&str>, message: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let label = "size".to_owned();
            let (expected, seen, message) = (text(expected), text(seen), text(message));
            held_not(&Assertion { label, passed: false, expected, seen, message })
        };
        assert_eq!(said(Some("3"), Some("4"), None), "size: expected 3, seen 4");
        assert_eq!(said(None, Some("111"), None), "size: seen 111");
        assert_eq!(said(None, Some("111"), Some("too much")), "size: seen 111, too much");
        assert_eq!(said(None, None, None), "size does not hold");
    }

    #[test]
    fn an_end_is_compared_by_kind_then_message_then_output() {
        let recorded = |kind, error: Option<(&str, &str)>, output: Option<Value>| Recorded {
            kind,
            error: error.map(|(kind, message)| Failure::new(kind, message)),
            output,
            digest: None,
        };
        let failed = Some(("AssertionError", "3 is too much"));
        let cases = [
            (
                recorded(OutcomeKind::Failed, failed, None),
                ending(OutcomeKind::Failed, failed, None),
                "the same as",
            ),
            (
                recorded(OutcomeKind::Failed, failed, None),
                ending(OutcomeKind::Failed, Some(("AssertionError", "4 is too much")), None),
                "with another message: failed: AssertionError: 3",
            ),
            (
                recorded(OutcomeKind::Failed, failed, None),
                ending(OutcomeKind::Error, Some(("KeyError", "'x'")), None),
                "different from the recorded outcome: failed: AssertionError",
            ),
            (
                recorded(OutcomeKind::Passed, None, Some(Value::from(6))),
                ending(OutcomeKind::Passed, None, Some("8")),
                "with another output: 6",
            ),
            (
                recorded(OutcomeKind::Passed, None, Some(Value::from(6))),
                ending(OutcomeKind::Passed, None, Some("6")),
                "the same as",
            ),
        ];
        for (recorded, ending, expected) in cases {
            let output = ending.output.as_deref().and_then(|text| serde_json::from_slice(text).ok());
            let said = compared(&recorded, &ending, output.as_ref());
            assert!(said.contains(expected), "{said}");
        }
    }
}
