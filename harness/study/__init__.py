"""The study before it runs: its file, its task, its grid, and `check`, all that can be known without weights."""
