"""Compute Engine's Cloud Routers, VPN gateways and tunnels, and VLAN attachments."""
