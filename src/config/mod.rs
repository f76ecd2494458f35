//! Configuration: the embedded default, a file, the environment.
