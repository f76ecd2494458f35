//! One row of the table of routes: everything that router, scopes, limits and document know of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::answer::{Answer, Body};
use super::call::{Call, parse_body};
use super::failure::Failure;
use crate::access::Scope;
use crate::ops::audit::Deed;

/// What a handler's future gives.
pub type Handled = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;

/// A handler behind its types.
pub type Handler = Arc<dyn Fn(Call, Bytes) -> Handled + Send + Sync>;

/// How a type is described in the document.
pub type Describe = fn(&mut SchemaGenerator) -> Schema;

/// Whether a route takes a body.
#[derive(Clone, Copy)]
pub enum Takes {
    /// None; an empty object is let through.
    Nothing,
    /// One of this form.
    Body(Describe),
    /// One of this form, or none.
    Optional(Describe),
}

/// One row of the table of routes.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, its parameters in braces.
    pub path: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The chapter of the document.
    pub tag: &'static str,
    /// What a key must be allowed; none if no key is needed.
    pub scope: Option<Scope>,
    /// The status of success.
    pub status: StatusCode,
    /// The body.
    pub takes: Takes,
    /// The query, if one is allowed.
    pub query: Option<Describe>,
    /// Content type and form of the answer.
    pub answer: fn(&mut SchemaGenerator) -> (&'static str, Schema),
    /// What the audit log tells of it, each in the commit of what was done.
    pub audits: &'static [Deed],
    /// Whether `Idempotency-Key` is honoured.
    pub idempotent: bool,
    /// Whether a ticket in the query stands for a key.
    pub ticket: bool,
    /// Whether it answers, as to nobody, whoever has a key that cannot be looked up.
    pub unrecognised: bool,
    /// Whether the body may come as a form with a file; the fields that are numbers then.
    pub form: Option<&'static [&'static str]>,
    /// What carries it out.
    pub handler: Handler,
}

/// A row whose handler is still to be named.
pub struct Draft {
    method: Method,
    path: &'static str,
    summary: &'static str,
    tag: &'static str,
    scope: Option<Scope>,
    status: StatusCode,
    query: Option<Describe>,
    audits: &'static [Deed],
    idempotent: bool,
    ticket: bool,
    unrecognised: bool,
    form: Option<&'static [&'static str]>,
}

/// A row of a chapter; it needs the scope read until another one is named.
pub fn route(tag: &'static str, method: Method, path: &'static str, summary: &'static str) -> Draft {
    Draft {
        method,
        path,
        summary,
        tag,
        scope: Some(Scope::Read),
        status: StatusCode::OK,
        query: None,
        audits: &[],
        idempotent: false,
        ticket: false,
        unrecognised: false,
        form: None,
    }
}

impl Draft {
    /// It needs this scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// It needs no key.
    pub fn open(mut self) -> Self {
        self.scope = None;
        self
    }

    /// Success is 201.
    pub fn creates(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// Success is 202: the work goes on after the answer.
    pub fn begins(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }

    /// A query of this form is allowed.
    pub fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| Q::json_schema(generator));
        self
    }

    /// The audit log tells of these.
    pub fn audits(mut self, deeds: &'static [Deed]) -> Self {
        self.audits = deeds;
        self
    }

    /// `Idempotency-Key` is honoured.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// A ticket in the query stands for a key.
    pub fn or_ticket(mut self) -> Self {
        self.ticket = true;
        self
    }

    /// It answers, as to nobody, whoever has a key that cannot be looked up, since the store is away.
    pub fn even_unrecognised(mut self) -> Self {
        self.unrecognised = true;
        self
    }

    /// The body may come as a form with a file, too; these of its fields are numbers.
    pub fn or_form(mut self, numbers: &'static [&'static str]) -> Self {
        self.form = Some(numbers);
        self
    }

    /// Success is 101: the connection goes on with something else than HTTP.
    pub fn switches(mut self) -> Self {
        self.status = StatusCode::SWITCHING_PROTOCOLS;
        self
    }

    /// The handler of a route without a body.
    pub fn run<F, Fut, A>(self, handler: F) -> Route
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let status = self.status;
        let handler: Handler = Arc::new(move |call, bytes| {
            if !(bytes.trim_ascii().is_empty() || bytes.trim_ascii() == b"{}") {
                let failure = Failure::invalid("this route takes no body");
                return Box::pin(std::future::ready(Err(failure)));
            }
            let work = handler(call);
            Box::pin(async move { work.await?.respond(status) })
        });
        self.finish(Takes::Nothing, A::describe, handler)
    }

    /// The handler of a route with a body.
    pub fn takes<B, F, Fut, A>(self, handler: F) -> Route
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(Call, B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let status = self.status;
        let handler: Handler = Arc::new(move |call, bytes| match parse_body::<B>(&bytes) {
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
            Ok(body) => {
                let work = handler(call, body);
                Box::pin(async move { work.await?.respond(status) })
            }
        });
        self.finish(
            Takes::Body(|generator| generator.subschema_for::<B>()),
            A::describe,
            handler,
        )
    }

    /// The handler of a route whose body may be left out.
    pub fn may_take<B, F, Fut, A>(self, handler: F) -> Route
    where
        B: DeserializeOwned + JsonSchema + Default + Send + 'static,
        F: Fn(Call, B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let status = self.status;
        let handler: Handler = Arc::new(move |call, bytes| {
            let body = match bytes.trim_ascii() {
                [] => Ok(B::default()),
                bytes => parse_body::<B>(bytes),
            };
            match body {
                Err(failure) => Box::pin(std::future::ready(Err(failure))),
                Ok(body) => {
                    let work = handler(call, body);
                    Box::pin(async move { work.await?.respond(status) })
                }
            }
        });
        self.finish(
            Takes::Optional(|generator| generator.subschema_for::<B>()),
            A::describe,
            handler,
        )
    }

    fn finish(
        self,
        takes: Takes,
        answer: fn(&mut SchemaGenerator) -> (&'static str, Schema),
        handler: Handler,
    ) -> Route {
        Route {
            method: self.method,
            path: self.path,
            summary: self.summary,
            tag: self.tag,
            scope: self.scope,
            status: self.status,
            takes,
            query: self.query,
            audits: self.audits,
            answer,
            idempotent: self.idempotent,
            ticket: self.ticket,
            unrecognised: self.unrecognised,
            form: self.form,
            handler,
        }
    }
}
