"""The command line: one file per command, none of which is imported before it is called."""
