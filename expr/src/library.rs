//! The functions that expressions may call: CEL's own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use cel::{Context, Env, ExecutionError};

use crate::expression::Call;

/// CEL's own functions. One for all: making them takes longer than evaluating with them.
pub(crate) static LIBRARY: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Whether there is such a function.
pub fn knows(call: &Call) -> bool {
    static KNOWN: LazyLock<Mutex<HashMap<(String, bool), bool>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().expect("no panic holds it");
    *known.entry((call.name.clone(), call.member)).or_insert_with(|| probe(call))
}

/// The library does not list its functions. Called with nothing, one that is there complains about
/// its arguments, and one that is not about its name.
fn probe(call: &Call) -> bool {
    let text = format!("{}{}()", if call.member { "''." } else { "" }, call.name);
    let context = Context::with_env(Arc::clone(&LIBRARY));
    let unknown = |error| matches!(error, ExecutionError::UndeclaredReference(_));
    LIBRARY.compile(&text).is_ok_and(|program| !program.execute(&context).is_err_and(unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expression;

    #[test]
    fn functions_are_told_from_what_is_none() {
        let calls = |text: &str| Expression::parse(text).expect(text).calls().to_vec();
        for text in ["size([1])", "[1].size()", "string(1) + ''", "'a'.matches('b')", "'a'.startsWith('b')"] {
            assert!(calls(text).iter().all(knows), "{text}");
        }
        for text in ["now()", "'a'.upper()", "lenght([1])", "1 + size2(3)"] {
            assert!(!calls(text).iter().any(knows), "{text}");
        }
        assert_eq!(calls("1 + now()")[0].offset, 7, "where CEL sees a call: at its bracket");
        assert!(calls("[1].exists(x, x > 0) && has({'a': 1}.a)").is_empty(), "macros are none");
    }
}
