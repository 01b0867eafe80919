"""To change a command, open `main`; what it prints, `results_table`, `check_tables`, `plan_tables`.

The ``harness`` command, and all that is printed.
"""
