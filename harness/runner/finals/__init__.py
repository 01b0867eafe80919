"""Final runs: winners retrained on fresh seeds, reference rows, and the models that are kept."""
