//! The keys of the flow language: the one list that the parser, its messages and the JSON Schema for
//! editors are made from.

/// Keys of a flow.
pub const FLOW: [&str; 19] = [
    "flow",
    "description",
    "version",
    "owner",
    "tags",
    "labels",
    "extends",
    "inputs",
    "data",
    "target",
    "defaults",
    "setup",
    "steps",
    "on_failure",
    "teardown",
    "outputs",
    "gate",
    "deadline",
    // Left alone, for editors and other tools.
    "$schema",
];

/// Keys of a step.
pub const STEP: [&str; 24] = [
    "uses",
    "with",
    "needs",
    "if",
    "each",
    "matrix",
    "repeat",
    "batch",
    "max_parallel",
    "expect",
    "until",
    "expect_failure",
    "allow_failure",
    "retry",
    "timeout",
    "queue_timeout",
    "where",
    "queue",
    "secrets",
    "state",
    "owner",
    "tags",
    "labels",
    "description",
];

/// Keys of a step that only a call of a function takes; a flow used as a function says them inside.
pub const CALL_ONLY: [&str; 9] =
    ["until", "expect_failure", "retry", "timeout", "queue_timeout", "queue", "secrets", "state", "batch"];

/// Keys of a flow that one which extends another takes over from it, and has not itself.
pub const TAKEN_OVER: [&str; 6] = ["data", "setup", "steps", "on_failure", "teardown", "outputs"];

/// Keys of `retry`.
pub const RETRY: [&str; 5] = ["max_attempts", "backoff", "max_backoff", "on", "lost"];

/// Keys of `until`.
pub const UNTIL: [&str; 3] = ["expect", "every", "within"];

/// Keys of `repeat`.
pub const REPEAT: [&str; 3] = ["count", "for", "parallel"];

/// Keys of `gate`.
pub const GATE: [&str; 5] = ["min_jobs", "max_failed", "max_flaky", "max_skipped", "max_duration"];

/// Keys of `defaults`.
pub const DEFAULTS: [&str; 4] = ["timeout", "queue_timeout", "retry", "where"];

/// Keys of an input.
pub const INPUT: [&str; 4] = ["type", "default", "description", "required"];

/// Words that a matrix takes for itself, beside the names of its lists.
pub const MATRIX: [&str; 2] = ["include", "exclude"];
