//! What waits for a person: incidents and dead letters.
