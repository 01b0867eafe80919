"""To change a key of the study file, open `spec`; an axis, `factors`; the grid, `grid`; what is refused, `check`.

The study before it runs: all that can be known without weights.
"""
