"""Identifies callers: service accounts, their keys, and the tokens that a testbed issues."""
