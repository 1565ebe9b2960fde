"""Makes a plan true in the kernel and reads it back: links, routes, ipsets, iptables.  Only this package does that."""
