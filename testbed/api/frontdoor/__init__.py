"""Takes connections: listeners, TLS and certificates, the proxy, and the way of each request to its server."""
