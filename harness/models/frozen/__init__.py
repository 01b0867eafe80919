"""The frozen part of a network: its activations captured once, and replayed inside the intact model."""
