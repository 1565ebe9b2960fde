"""Compiles regions with runtimes and connector instances, Direct VPC egress, and ingress settings."""
