"""The parts that all resources are built from: names, references, address ranges, projects, regions, annotations."""
