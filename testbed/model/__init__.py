"""Google's resources as values: their fields, their rules and the texts of their errors.  Nothing here has effects."""
