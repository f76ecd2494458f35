//! Telegram's limits respected before they bite: budgets, flood waits, slow mode.
