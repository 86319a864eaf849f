//! How a native function says that it did not pass.

use rfx_schemas::outcome::Failure;

/// Why a function did not pass. `?` makes an error of any error: one that says no for the test is
/// made with [`fail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPassed {
    /// The test said no.
    Failed(Failure),
    /// It does not apply here, and why.
    Skipped(String),
    /// It could not find out.
    Error(Failure),
}

/// The test says no.
pub fn fail(message: impl Into<String>) -> NotPassed {
    NotPassed::Failed(Failure::new("Failed", message))
}

/// The test does not apply here.
pub fn skip(why: impl Into<String>) -> NotPassed {
    NotPassed::Skipped(why.into())
}

/// The test cannot be made. `kind` is a word for it, as an exception's class is one.
pub fn error(kind: impl Into<String>, message: impl Into<String>) -> NotPassed {
    NotPassed::Error(Failure::new(kind, message))
}

// It is no `std::error::Error` itself, which would make this its own conversion too.
impl<E: std::error::Error> From<E> for NotPassed {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors say their source's words already.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::Error(Failure::new(name_of::<E>(), message))
    }
}

/// `std::io::error::Error` as `io::Error`: the last word alone would be the same for most.
fn name_of<E>() -> String {
    let full = std::any::type_name::<E>();
    let plain = full.split('<').next().unwrap_or(full);
    let mut words = plain.rsplit("::").filter(|word| *word != "error");
    match (words.next(), words.next()) {
        (Some("Error"), Some(module)) => format!("{module}::Error"),
        (Some(name), _) => name.to_owned(),
        (None, _) => plain.to_owned(),
    }
}

/// A native function's plain "no", for functions that know no other way to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub String);

impl<T: Into<String>> From<T> for Failed {
    fn from(message: T) -> Self {
        Self(message.into())
    }
}

impl From<Failed> for NotPassed {
    fn from(Failed(message): Failed) -> Self {
        fail(message)
    }
}
