//! Webhook endpoints: from the journal's events to signed deliveries, at least once.
