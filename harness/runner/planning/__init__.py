"""To change a forecast, open `plan`; what is measured for it, `probe`; what is counted, `workload`.

What a study will take, before it is run.
"""
