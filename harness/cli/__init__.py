"""To change a command, open `main`; what it prints, `results_table`, `check_tables`; a plan is `Plan.parts`.

The ``harness`` command, and all that is printed.
"""
