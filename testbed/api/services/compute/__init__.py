"""Compute Engine v1.  Here are the parts that its collections share; each group of them has a room of its own."""
