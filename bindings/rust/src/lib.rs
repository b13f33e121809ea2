//! One model, one batch, as many streams as you like: libpaceline for Rust.
//!
//! An [`Engine`] is one loaded model and all the memory it will ever use; clones of it are the same
//! engine. A [`Stream`] is one reply: a [`futures_core::Stream`] of [`Event`]s, which any executor
//! polls, or an iterator for a thread that waits. No reply depends on the others, and none needs a
//! context of its own.
//!
//! Back-pressure is the engine's queue: [`Engine::try_submit`] says [`Status::Busy`] where it is
//! full, and [`Engine::submit`] waits for its turn, in order of arrival. No semaphore has to guess
//! how many requests a machine bears.

mod engine;
mod request;
mod status;
mod stream;
pub mod sys;
mod waiting;

pub use engine::{Engine, Params, Submit};
pub use request::{Grammar, Request, Sampling};
pub use status::{Error, Result, Status};
pub use stream::{Event, Finish, Stream};
pub use sys::pl_plan as Plan;
pub use sys::pl_stats as Stats;
pub use sys::pl_usage as Usage;
