"""Recorded activations of the frozen part: in memory, on disk, by a digest of all that they depend on."""
