"""Compiles VPN gateways, VLAN attachments and sites, with their BGP sessions."""
