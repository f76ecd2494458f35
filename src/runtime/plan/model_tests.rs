//! Random schedules against invariants and a model of OTP.
