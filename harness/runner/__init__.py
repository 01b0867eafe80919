"""To change a study's order, open `run_study`; searches, `search`; final runs, `finals`; where jobs run, `executors`.

A study on its way; `study` and `result` are what Python and the command hold of it. The driver is the only one that
writes to Optuna and to tracking.
"""
