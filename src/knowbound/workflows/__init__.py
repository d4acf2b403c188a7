"""What people do with the parts: fit, predict, evaluate, and the demo; each in one call."""
