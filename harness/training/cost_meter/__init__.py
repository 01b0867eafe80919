"""What runs cost: seconds, rows, operations, memory, energy; entered by the trainer, added up by cell."""
