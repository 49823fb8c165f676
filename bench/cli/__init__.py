"""The command line: arguments in, text out. Only this package prints."""
