//! Tests of the whole, each in a world of its own: a real nats-server, real processes.

mod flow;
mod services;
