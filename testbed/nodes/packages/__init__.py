"""The Python packages that deployed sources ask for: read, installed from the user's indexes, and kept."""
