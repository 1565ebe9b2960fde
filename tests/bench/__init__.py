"""`make bench`: how long a testbed takes to come up, and what its data path costs."""
