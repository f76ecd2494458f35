//! Supervision: child specs, restart strategies, drain, quarantine. It knows no domain word.
