"""Gives out addresses, ports of Cloud NAT and names of nodes, once for all; defines the running state."""
