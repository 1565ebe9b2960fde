"""Compiles routes: selects the ones that packets take, lays the kernel's tables and the default internet gateway."""
