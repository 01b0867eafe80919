"""To change samplers, pruners or seeds, open `optuna_search`; what a trial does, `trials`.

The search of all cells, until each budget is spent.
"""
