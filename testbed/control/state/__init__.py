"""Keeps the state of a testbed in its folder: the store and its tables, the lock, logs."""
