"""Resources of managed services: Redis, private connections, Cloud DNS, secrets."""
