"""Containers: images, the Docker Engine, commands and files in containers, Ansible.  Only this package touches them."""
