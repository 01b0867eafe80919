"""To change a forecast, open `plan`; what is measured for it, `probe`; bytes of recordings, `memory_footprint`.

What a study will take, before it is run.
"""
