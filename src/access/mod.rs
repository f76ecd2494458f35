//! Who asks and what they may: API keys and scopes.
