//! The control API: one table of routes drives router, scopes, limits and OpenAPI.
