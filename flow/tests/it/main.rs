//! Tests of the flow crate from outside: plans and the fold of facts.

mod answer;
mod cases;
mod checks;
mod common;
mod driver;
mod random;
mod simulation;
mod state;
mod world;
