"""What the daemon tells: state store, status, events, metrics, HTTP."""
