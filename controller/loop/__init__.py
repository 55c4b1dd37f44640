"""The control loop: queue, workers, ticks, instance lock, drain."""
