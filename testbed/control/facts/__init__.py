"""What is true of a running testbed now: for commands, APIs and whatever else shows or decides something."""
