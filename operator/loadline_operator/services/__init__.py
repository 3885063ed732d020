"""InferenceService: what it becomes or is attached to, and its status."""
