//! The front stack: from a connection's request to a response, through layers with one purpose each.
//!
//! Takes the application's state, gives a tower service that tests call without a socket.
//!
//! Compression is not a layer: a compressed body is kept with its answer, so it is chosen where answers are made
//! ([`data`], [`respond`]). A layer would compress the same answer for every client.

pub mod assets;
pub mod catalog;
pub mod data;
pub mod encode;
pub mod gzip;
pub mod json;
pub mod layers;
pub mod meta;
pub mod path;
pub mod respond;
pub mod router;
pub mod start;
pub mod warm;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tower::Service;

use crate::app::State;
use layers::{Counts, Limits, Request};
use respond::Response;

/// The complete service. Clones are the same.
///
/// ```text
/// request → framed (id, log line, headers of every answer) → limited (places, time) → routed → response
/// ```
/// A warm answer takes some microseconds, so the layers are plain functions in one future: each layer that boxes its own and
/// each clone of a stack of services would cost as much as the answer.
#[derive(Debug, Clone)]
pub struct Stack(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Arc<State>,
    counts: Counts,
    limits: Limits,
}

/// Builds the stack.
pub fn stack(state: Arc<State>) -> Stack {
    let counts = Counts::new(&state.metrics);
    let limits = Limits::new(state.config.max_in_flight, state.config.request_timeout);
    Stack(Arc::new(Inner { state, counts, limits }))
}

impl Stack {
    /// Answers one request.
    pub fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        let stack = Arc::clone(&self.0);
        async move {
            layers::framed(&stack.counts, request, |request, id| {
                layers::limited(&stack.limits, router::route(&stack.state, request, id))
            })
            .await
        }
        .boxed()
    }
}

impl Service<Request> for Stack {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.answer(request).map(Ok).boxed()
    }
}
