"""Resources of VPC networks and VMs: networks, subnets, routes, routers, firewall rules and policies, instances."""
