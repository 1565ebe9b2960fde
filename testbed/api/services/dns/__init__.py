"""Cloud DNS v1: zones, record sets and changes, which the name server answers by; policies are kept."""
