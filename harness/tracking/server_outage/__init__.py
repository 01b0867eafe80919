"""A tracking server that may go away: training goes on, and nothing is lost.

- what is written: `outage_tracker` puts records into a `journal`; a thread, the `sender`, brings them to the server
- what is read: from a mirror of the server; else a question waits for the `delivery` of all records
"""
