"""The charts of a report: what each shows, and who draws it."""
