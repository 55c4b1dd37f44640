"""Skills: what a SKILL.md says, and the files that go with it."""
