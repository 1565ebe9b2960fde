"""Google Cloud Serverless VPC Access on your own Linux machine, with real packets."""

__version__ = "0.1.0"
