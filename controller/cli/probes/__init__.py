"""What `doctor` looks at: one small file each. A probe changes nothing and never raises."""
