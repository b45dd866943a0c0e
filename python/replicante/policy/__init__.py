"""The policy language: text, syntax tree, checks, the frozen model, the compiled form and its tools."""
