"""What a study found: read from the store by `collect`, judged by `findings`, drawn and written by `render`, `page`."""
