"""The sub-commands of `musicgen-rt` about the daemon: one light module each."""
