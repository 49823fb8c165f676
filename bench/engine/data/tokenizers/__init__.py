"""How text becomes ids, and ids text."""
