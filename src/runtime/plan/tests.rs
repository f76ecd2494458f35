//! The machine, one rule a test.
