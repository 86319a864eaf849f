//! The last token of subjects that are about an attempt.

use super::numbered;

/// A fact about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptFact {
    /// Its outcome.
    Ended,
    /// A worker started it at its n-th delivery (recorded from the second on).
    Started(u64),
    /// Its n-th call of another function, from 1: what is to be executed.
    Call(u32),
    /// What is to be called to undo what it did, the n-th, from 1.
    Undo(u32),
    /// What its n-th call came to.
    Return(u32),
}

impl AttemptFact {
    /// Reads the token.
    pub(super) fn parse(token: &str) -> Option<Self> {
        if token == "ended" {
            return Some(Self::Ended);
        }
        let started = || numbered(token, "start-").map(Self::Started);
        let call = || numbered(token, "call-").map(Self::Call);
        let undo = || numbered(token, "undo-").map(Self::Undo);
        let answer = || numbered(token, "return-").map(Self::Return);
        started().or_else(call).or_else(undo).or_else(answer)
    }
}

impl std::fmt::Display for AttemptFact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => f.write_str("ended"),
            Self::Started(n) => write!(f, "start-{n}"),
            Self::Call(n) => write!(f, "call-{n}"),
            Self::Undo(n) => write!(f, "undo-{n}"),
            Self::Return(n) => write!(f, "return-{n}"),
        }
    }
}
