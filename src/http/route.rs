//! One row of the table of routes: everything that router, scopes, limits and document know of it.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::answer::{Answer, Body};
use super::binding::Binding;
use super::body::is_nothing;
use super::call::{Call, parse_body};
use super::failure::Failure;
use super::query::Query;
use super::shape::Shape;
use super::spool::FormFields;
use crate::access::Scope;
use crate::ops::audit::Deed;

/// What a handler's future gives.
pub type Handled = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;

/// Work whose body has been read, for a call that is still to come.
pub type Ready = Box<dyn FnOnce(Call) -> Handled + Send>;

/// A handler behind its types: it reads the body, and what does not fit is refused before anything is done.
pub type Handler = Arc<dyn Fn(&[u8]) -> Result<Ready, Failure> + Send + Sync>;

/// How a type is described in the document.
pub type Describe = fn(&mut SchemaGenerator) -> Schema;

/// Whether a route takes a body.
#[derive(Clone, Copy)]
pub enum Takes {
    /// None; an empty one is let through.
    Nothing,
    /// One of this form.
    Body(Describe),
    /// One of this form, or none.
    Optional(Describe),
}

/// The form of a query.
#[derive(Clone, Copy)]
pub struct QueryForm {
    /// Its schemas.
    pub describe: fn() -> Vec<Describe>,
    /// Refuses what is not of this form.
    pub check: fn(&str) -> Result<(), Failure>,
}

/// What a row says, all but its handler and the forms that it takes and gives. Dispatch enforces it.
#[derive(Clone)]
pub struct Row {
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
    /// Which sessions it concerns.
    pub binding: Binding,
    /// Whether its handler decides what becomes of a request whose session, pair or endpoint is gone.
    pub even_gone: bool,
    /// The status of success.
    pub status: StatusCode,
    /// The query, if one is allowed.
    pub query: Option<QueryForm>,
    /// What the audit log tells of it, each in the commit of what was done.
    pub audits: &'static [Deed],
    /// The fields of its answer that are shown once: a repeat under the same `Idempotency-Key` gets the rest.
    pub reveals: &'static [&'static str],
    /// How long its handler may take, if not as long as any.
    pub within: Option<Duration>,
    /// Whether a ticket in the query stands for a key.
    pub ticket: bool,
    /// Whether it answers, as to nobody, whoever has a key that cannot be looked up.
    pub unrecognised: bool,
    /// Whether the body may come as a form with a file.
    pub form: bool,
}

/// One row of the table of routes.
#[derive(Clone)]
pub struct Route {
    row: Row,
    /// The body.
    pub takes: Takes,
    /// The fields of the body if it comes as a form; none if it may not.
    pub form_fields: Option<Arc<FormFields>>,
    /// Content type and form of the answer.
    pub answer: fn(&mut SchemaGenerator) -> (&'static str, Schema),
    /// What carries it out.
    pub handler: Handler,
}

impl Deref for Route {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

/// A row of a chapter; it needs the scope read and is closed to keys that are bound to sessions, until it says
/// otherwise.
pub fn route(tag: &'static str, method: Method, path: &'static str, summary: &'static str) -> Row {
    Row {
        method,
        path,
        summary,
        tag,
        scope: Some(Scope::Read),
        binding: Binding::Unbound,
        even_gone: false,
        status: StatusCode::OK,
        query: None,
        audits: &[],
        reveals: &[],
        within: None,
        ticket: false,
        unrecognised: false,
        form: false,
    }
}

impl Row {
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

    /// It concerns this.
    pub fn of(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// It concerns the session that the path names as `id`.
    pub fn of_session(self) -> Self {
        self.of(Binding::Path("id"))
    }

    /// Its handler is asked also if what it concerns is gone.
    pub fn even_gone(mut self) -> Self {
        self.even_gone = true;
        self
    }

    /// These fields of its answer are shown once.
    pub fn reveals(mut self, fields: &'static [&'static str]) -> Self {
        self.reveals = fields;
        self
    }

    /// Its handler may take so long.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
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
    pub fn query<Q: Query>(mut self) -> Self {
        self.query = Some(QueryForm {
            describe: Q::describe,
            check: |query| Q::read(query).map(drop),
        });
        self
    }

    /// The audit log tells of these.
    pub fn audits(mut self, deeds: &'static [Deed]) -> Self {
        self.audits = deeds;
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

    /// The body may come as a form with a file, too.
    pub fn or_form(mut self) -> Self {
        self.form = true;
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
        let read = |bytes: &[u8]| {
            is_nothing(bytes)
                .then_some(())
                .ok_or_else(|| Failure::invalid("this route takes no body"))
        };
        self.finish(Takes::Nothing, read, move |call, ()| handler(call))
    }

    /// The handler of a route with a body.
    pub fn takes<B, F, Fut, A>(self, handler: F) -> Route
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(Call, B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let takes = Takes::Body(|generator| generator.subschema_for::<B>());
        let form = self.form.then(|| Arc::new(FormFields::of::<B>()));
        Route {
            form_fields: form,
            ..self.finish(takes, body_reader::<B>(), handler)
        }
    }

    /// The handler of a route whose body may be left out.
    pub fn may_take<B, F, Fut, A>(self, handler: F) -> Route
    where
        B: DeserializeOwned + JsonSchema + Default + Send + 'static,
        F: Fn(Call, B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let takes = Takes::Optional(|generator| generator.subschema_for::<B>());
        let parse = body_reader::<B>();
        let read = move |bytes: &[u8]| match is_nothing(bytes) {
            true => Ok(B::default()),
            false => parse(bytes),
        };
        self.finish(takes, read, handler)
    }

    fn finish<B, F, Fut, A>(
        self,
        takes: Takes,
        read: impl Fn(&[u8]) -> Result<B, Failure> + Send + Sync + 'static,
        handler: F,
    ) -> Route
    where
        B: Send + 'static,
        F: Fn(Call, B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Answer + 'static,
    {
        let (status, handler) = (self.status, Arc::new(handler));
        let handler: Handler = Arc::new(move |bytes| {
            let (body, handler) = (read(bytes)?, handler.clone());
            let ready: Ready = Box::new(move |call| {
                let work = handler(call, body);
                Box::pin(async move { work.await?.respond(status) })
            });
            Ok(ready)
        });
        Route {
            row: self,
            takes,
            form_fields: None,
            answer: A::describe,
            handler,
        }
    }
}

/// Reads bodies of a type, objects where its schema has objects.
fn body_reader<B: DeserializeOwned + JsonSchema>() -> impl Fn(&[u8]) -> Result<B, Failure> {
    let shape = OnceLock::new();
    move |bytes| {
        let shape = shape.get_or_init(Shape::of::<B>);
        shape.check(bytes)?;
        parse_body::<B>(bytes)
    }
}
