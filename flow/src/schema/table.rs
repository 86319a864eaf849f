//! What editors say about each key, and which values it takes. One row for each key of `parse::keys`; the shapes of values
//! stand in `definitions.json`.

/// A key, what it is for, and the name of its definition.
pub(super) type Row = (&'static str, &'static str, &'static str);

pub(super) const FLOW: [Row; 19] = [
    ("flow", "Its name: identifiers joined by dots. Flows share the names of functions.", "function"),
    ("description", "What it tests, for reports.", "text"),
    ("version", "Its version, when other flows use it: whole numbers joined by dots.", "version"),
    ("owner", "Who answers for it; also for its steps, unless they or their functions say.", "text"),
    ("tags", "Words to find it by.", "texts"),
    ("labels", "Properties for reports.", "labels"),
    ("extends", "A flow or function that it takes over, with other defaults.", "uses"),
    ("inputs", "What a run, or a step that uses the flow, may give it.", "inputs"),
    ("data", "Data sets: files, relative to this one. --data NAME=FILE takes another for a run.", "data"),
    (
        "target",
        "The system under test, by name of its parts. --target NAME=URL replaces one for a run.",
        "target",
    ),
    ("defaults", "What steps take that don't say their own.", "defaults"),
    ("setup", "Steps that run before all else. When one does not pass, `steps` are skipped.", "steps"),
    ("steps", "The steps of the test.", "steps"),
    ("on_failure", "Steps that run only when something before them did not pass.", "steps"),
    ("teardown", "Steps that run after all else, however the run ended.", "steps"),
    ("outputs", "Values made at the end: for the report, and for a step that uses the flow.", "values"),
    ("gate", "What the run's verdict asks for besides its jobs' verdicts.", "gate"),
    ("deadline", "When the whole run must have ended, from its submission; 24h unless said.", "duration"),
    ("$schema", "Left alone by rfx: the address of this schema, for editors.", "text"),
];

pub(super) const STEP: [Row; 24] = [
    ("uses", "The function or flow that it calls: name or name@version.", "uses"),
    ("with", "What that is given: its parameters. Values may hold ${{ expressions }}.", "values"),
    ("needs", "Steps of the same phase that must have passed before it.", "names"),
    ("if", "An expression that must be true, else the step is skipped.", "condition"),
    ("each", "A list: one job an item, which expressions read as `item` and `index`.", "list"),
    ("matrix", "Lists by name: one job for each combination, which expressions read as `item`.", "matrix"),
    ("repeat", "The same job several times, or for some time.", "repeat"),
    ("batch", "How many items share a job; expressions read them as `items`.", "count"),
    ("max_parallel", "Most jobs of the step that are out at once.", "count"),
    ("expect", "Expressions over `output`; all must be true, else the attempt failed.", "expressions"),
    ("until", "Call again and again until these expressions over `output` are true.", "until"),
    (
        "expect_failure",
        "How it is meant to fail: one that does so passes, one that passes has failed.",
        "expect_failure",
    ),
    ("allow_failure", "How many of its jobs may fail without failing the step and the run.", "allow_failure"),
    ("retry", "When to try again. Replaces that of defaults as a whole.", "retry"),
    (
        "timeout",
        "Longest time that an attempt may run; the function's own, else 10m, unless said.",
        "duration",
    ),
    ("queue_timeout", "How long a job waits while nobody serves its function; 10m unless said.", "duration"),
    ("where", "Where it runs: labels that the group must have, or group.", "where"),
    ("queue", "A queue of the group.", "queue"),
    ("secrets", "Names of secrets that the worker gives to the function.", "secrets"),
    (
        "state",
        "Keys of shared state that it reads or writes: steps with the same key never run side by side.",
        "texts",
    ),
    ("owner", "Who answers for it; --only and --skip take owner:NAME.", "text"),
    ("tags", "Words to choose it by; --only and --skip take tag:NAME.", "texts"),
    ("labels", "Properties for reports.", "labels"),
    ("description", "What it is for.", "text"),
];

pub(super) const DEFAULTS: [Row; 4] = [
    ("timeout", "Longest time that an attempt may run, where the function has none of its own.", "duration"),
    ("queue_timeout", "How long a job waits while nobody serves its function; 10m unless said.", "duration"),
    ("retry", "When to try again.", "retry"),
    ("where", "Where steps run; a step's own `where` wins key by key.", "where"),
];

pub(super) const INPUT: [Row; 4] = [
    ("type", "Its type; any unless said.", "input_type"),
    ("default", "What it is unless given; may read data, target and run.", "any"),
    ("description", "What it is for.", "text"),
    ("required", "Whether it must be given when it has no default; true unless said.", "boolean"),
];

pub(super) const RETRY: [Row; 5] = [
    ("max_attempts", "Most attempts, the first among them; 1 unless said.", "count"),
    (
        "backoff",
        "Wait before the second attempt, doubled before each further one; 1s unless said.",
        "duration",
    ),
    ("max_backoff", "The longest that the wait grows to; 10m unless said.", "duration"),
    ("on", "Outcomes that are tried again; failed and error unless said.", "outcomes"),
    ("lost", "How often what rfx itself lost is tried again, besides; 2 unless said.", "whole"),
];

pub(super) const UNTIL: [Row; 3] = [
    ("expect", "Expressions over `output`; all must be true.", "expressions"),
    ("every", "Wait from the end of one call to the next; 1s unless said.", "duration"),
    ("within", "How long in all, from the start of the first call; 1m unless said.", "duration"),
];

pub(super) const REPEAT: [Row; 3] = [
    ("count", "How many jobs.", "count"),
    ("for", "For how long: a new job begins whenever one ends.", "duration"),
    ("parallel", "How many at once: all of a count, one at a time for a duration, unless said.", "count"),
];

pub(super) const GATE: [Row; 5] = [
    ("min_jobs", "Least jobs that must have been executed.", "whole"),
    ("max_failed", "Most jobs that may have failed or ended in an error; none unless said.", "share"),
    ("max_flaky", "Most jobs that may have passed only after another attempt.", "share"),
    ("max_skipped", "Most jobs that may have been skipped.", "share"),
    ("max_duration", "Longest time from the submission to the end of the last job.", "duration"),
];
