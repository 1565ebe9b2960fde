"""Reads calls and prints answers in each form that Google has: REST, gRPC and batches."""
