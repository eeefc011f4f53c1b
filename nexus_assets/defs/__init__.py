"""The definitions, one folder a domain."""
