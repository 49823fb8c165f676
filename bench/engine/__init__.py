"""Everything that a number depends on; imports only `methods`."""
