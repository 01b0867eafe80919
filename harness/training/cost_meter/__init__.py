"""To change what is counted, open `account`; operations, `flops` and `prices`; energy, `energy`.

Costs of runs; their names are in `harness.core.cost_names`, their table in `harness.results.cost_table`.
"""
