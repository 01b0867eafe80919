"""Who trains: jobs go in, events come out, both plain data. To add a way to run jobs, write it beside `in_process`."""
