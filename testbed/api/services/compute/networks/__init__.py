"""Compute Engine's networks: subnets, addresses, routes, peerings, Shared VPC, firewall rules and policies."""
