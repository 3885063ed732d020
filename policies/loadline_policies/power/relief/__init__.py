"""Which services are lifted from their class's cap, since they miss an objective because of it."""
