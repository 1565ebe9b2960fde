"""The compiler: from a topology and its running state to the `Plan` of the kernel and the nodes.  It has no effects."""
