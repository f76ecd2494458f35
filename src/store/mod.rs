//! State: one sled tree behind one committer thread; tables, journal, lanes, seal.
