"""What a step leaves out of the last block: positions whose output nobody reads."""
