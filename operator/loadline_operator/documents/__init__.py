"""Policy documents: ConfigMaps of the system namespace, validated, the last good one kept."""
