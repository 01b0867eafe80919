"""To change what is read of a store, open `collect`; costs, `cost_table`; accesses to test, `test_access`.

What the records of a study say, as plain values.
"""
