"""The outer ring: what stands around the model, and is imported by the command line only."""
