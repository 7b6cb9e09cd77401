"""The private boundary: the only package that calls a teacher on data, and the only noise."""
