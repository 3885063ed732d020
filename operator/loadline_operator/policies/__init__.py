"""Policy documents: ConfigMaps of some namespaces, validated, the last good version of each kept."""
