"""Resources of serverless products: connectors, services, jobs, functions, App Engine, egress and ingress settings."""
