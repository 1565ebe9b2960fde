"""Cloud DNS v1: zones, record sets, changes and policies are kept as Google keeps them.

Nothing answers DNS queries by them yet: a zone has no effect on packets.
"""
