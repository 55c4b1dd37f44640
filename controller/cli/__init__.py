"""The command line: one file per group of verbs, imported when one of them is called."""
