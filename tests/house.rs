//! Walls of the house.
