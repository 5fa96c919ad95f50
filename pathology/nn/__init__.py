"""Network definitions and their registry; import the modules themselves, they need torch."""
