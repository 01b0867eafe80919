"""To add a kind of tuning, write a file here and name it in `harness.study.tuning_kinds`; what one is, `tuning_kind`.

Each file says of one kind what trains, how it is written, its place among the depths and its learning rates.
"""
