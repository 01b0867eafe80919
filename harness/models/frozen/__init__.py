"""To change what is captured, open `capture`; how it is put back, `replay`.

The frozen part of a network: captured once, replayed inside the intact model.
"""
