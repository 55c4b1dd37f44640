"""Control groups read and written as files: where they are, what they use, what limits are in force, groups of ours."""
