"""What a study found: read from the tracking store by `collect`, drawn by `figures`, written by `render`."""
