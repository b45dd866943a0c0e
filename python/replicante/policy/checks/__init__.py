"""What must hold of a policy beyond its syntax: one module for each group of codes of section 15."""
