"""Load tests with Locust: the request, its run in the load generator, the result and the report."""
