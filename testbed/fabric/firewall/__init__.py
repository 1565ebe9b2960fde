"""Compiles firewall rules and policies to iptables chains and ipsets, and the kernel's notes to log records."""
