//! Tests of the flow crate from outside: plans and the fold of facts.

mod answer;
mod cases;
mod common;
mod driver;
mod simulation;
mod state;
mod world;
