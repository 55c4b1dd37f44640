"""What a skill's tools do inside a sandbox: files by descriptor, commands through the runtime."""
