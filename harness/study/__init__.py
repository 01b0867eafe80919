"""To change a key of the study file, open `spec`; an axis, `axes`; the grid, `grid`; what is refused, `check`.

The study before it runs: all that can be known without weights.
"""
