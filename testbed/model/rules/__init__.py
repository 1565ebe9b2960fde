"""Rules between resources, which no single one can check: references, overlaps, regions.  One module per topic."""
