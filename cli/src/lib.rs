//! What `rfx dev` is made of, for the tests to use as it is: a nats-server as a child.

pub mod server;
