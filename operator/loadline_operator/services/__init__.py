"""InferenceService: the Deployment and the Service that it becomes, and its status."""
