"""Makes accepted changes true: operations, the reconciler, the configuration of nodes, the teardown."""
