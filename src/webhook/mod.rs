//! Webhook endpoints: from the journal's events to signed deliveries, at least once.
//!
//! The way of one event: `dispatcher` reads the journal, asks `filter` which endpoints want the
//! event, renders one body per delivery (`body`) and puts it as a task into the endpoint's lane,
//! in the same commit as its own cursor. One `deliverer` per endpoint takes the tasks in the
//! order that `order` allows, `post`s them (signed by `sign`, only to addresses that `address`
//! lets through) and commits what came of it; `schedule` says when a failed one is tried again.
//!
//! Promised: every wanted event reaches the endpoint at least once, under one id and with one
//! body on every try, or ends as a dead letter that says why. Not promised: order across chats,
//! or that a receiver sees an event only once.

pub mod address;
pub mod attempt;
pub mod body;
mod conclude;
pub mod config;
mod deliverer;
mod dispatcher;
mod draft;
pub mod endpoint;
mod errand;
mod error;
mod examples;
pub mod filter;
mod handle;
pub mod order;
mod post;
mod registry;
mod resolve;
pub mod schedule;
pub mod secret;
mod service;
pub mod sign;
mod tables;
mod trouble;

pub use attempt::{Attempt, Delivery, DeliveryState, Trigger};
pub use body::{SessionContext, SessionLookup};
pub use config::{ConfiguredEndpoint, WebhookConfig};
pub use endpoint::{ChatOrder, Endpoint, EndpointPatch, EndpointState, NewEndpoint, Shape};
pub use error::WebhookError;
pub use handle::{DeliveryDetail, EndpointStatsView, Webhooks};
