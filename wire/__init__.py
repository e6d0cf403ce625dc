"""The contract between terminal, hub and bench: values, bytes and rules, with no I/O of any kind."""
