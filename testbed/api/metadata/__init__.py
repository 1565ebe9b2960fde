"""The metadata server of Compute Engine and of Google's serverless products (behaviour 4.7.1)."""
