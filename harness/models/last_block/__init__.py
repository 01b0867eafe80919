"""The last block at label positions alone: what a step leaves out since nobody reads it."""
