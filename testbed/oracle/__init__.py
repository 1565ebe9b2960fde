"""A second opinion on the compiler: judges the fate of a packet by Google's rules.  Tests compare real packets."""
