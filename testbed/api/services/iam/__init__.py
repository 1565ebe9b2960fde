"""IAM v1: service accounts, their keys, and the roles that matter to connectors (behaviour 1.11).

The accounts and keys are real: who calls with a key is that account.  What an account may do is not restricted.
"""
