"""The stages of the project, one folder each."""
