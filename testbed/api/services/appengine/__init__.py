"""The App Engine Admin API v1: the application, its services and their versions."""
