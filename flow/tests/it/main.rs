//! Tests of the flow crate from outside: what is wrong with flows, plans, and the fold of facts.

mod answer;
mod bad;
mod calls;
mod cases;
mod checks;
mod common;
mod composites;
mod driver;
mod plan;
mod random;
mod schema;
mod simulation;
mod state;
mod undos;
mod world;
