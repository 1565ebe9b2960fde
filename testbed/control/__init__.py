"""The control plane and the controller of a testbed: they accept changes, carry them out and watch over the result."""
