"""To change what a recording depends on, open `keys`; its memory, `memory`; its files, `disk`; its proof, `cache`.

Recordings of the frozen part's activations, by a digest of all that they depend on.
"""
