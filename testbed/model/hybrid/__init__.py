"""Resources of the ways to other places: VPN, VLAN attachments, on-prem sites, hosts on the internet."""
