"""What the records of a study say: collected from the store, as plain values."""
