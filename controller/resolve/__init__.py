"""Pure resolution: a manifest document becomes a desired sandbox, defaults applied, hashes taken."""
