"""Decides whether a change is accepted, before anything is touched."""
