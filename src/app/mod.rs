//! Composition: config, build, tree, wait for a signal, drain.
