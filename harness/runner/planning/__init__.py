"""To change a forecast, open `plan`; its tables, `planned_work`; what is measured, `probe`; counted, `workload`.

What a study will take, before it is run.
"""
