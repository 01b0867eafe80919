"""What `bench_families.py` stands on: tiny models of every family, the plain recipe, and the harness held against it."""
