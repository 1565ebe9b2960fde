"""What the name server knows, and how it is reached: Cloud DNS and the internal names of Compute Engine.

One server answers for all networks (`server`).  It has a view per network, and one for whatever is in none; a view is a
value made of zones (`views`), which `files` writes in the words of BIND.
"""
