"""Google's APIs: what is served, by REST and by gRPC."""
