"""What runs cost: seconds, rows, operations, memory, energy; entered by the bench, added up by cell."""
