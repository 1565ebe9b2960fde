"""Compute Engine's instances: their disks, images, machine types, templates and groups."""
