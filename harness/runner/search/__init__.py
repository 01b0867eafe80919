"""The search of a cell: Optuna's samplers, and trials until the budget is spent."""
