"""What `bench_families.py` stands on: tiny models of every family, and the plain recipe that the harness must equal."""
