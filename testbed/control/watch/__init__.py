"""Observes the running testbed: health, routes that BGP brings, the firewall's log, sockets that listen."""
