//! Forwarding pairs: from the journal's events to exactly one copy in the destination.
