"""For whoever ports LED: the truth stage by stage in files, and where a port differs from it."""
