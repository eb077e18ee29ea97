//! Logs: pretty on a terminal, JSON for machines.
