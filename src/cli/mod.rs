//! The command line: one file per command family; the only place that prints.
