"""To change what counts as done, open `missing_runs`.

What the store holds of a study, so that the same command does only what is missing.
"""
