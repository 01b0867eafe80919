"""To change which positions the last block computes, open `label_positions`; its queries, `queries_at_labels`.

The last block at label positions alone: what a step leaves out since nobody reads it.
"""
