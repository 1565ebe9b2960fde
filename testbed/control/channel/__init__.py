"""How a command and a testbed's controller talk: a Unix socket in the testbed's folder."""
