//! Tests of the flow crate from outside: plans and the fold of facts.

mod bad;
mod common;
mod schema;
mod simulation;
mod state;
