"""To add a way to run jobs, write it beside `in_process` and name it in `executor_table`; what it must do, `protocol`.

Who trains: jobs go in, events come out, both plain data.
"""
