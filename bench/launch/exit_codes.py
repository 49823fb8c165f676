"""Exit codes of the commands and of the workers that they start."""

DONE = 0
USAGE_ERROR = 2  # wrong usage, or a suite that cannot be run; argparse's own code
FAILED = 3  # a cell, a check or a gate failed
INCOMPLETE = 4  # some cells have no result yet
STORAGE_FULL = 5  # no room to write results; what is finished is kept
NOT_TRACKED = 6  # all is done, but MLflow's store lacks some of it
BUSY = 75  # another process is at work on the cell; EX_TEMPFAIL of sysexits.h
BROKEN_PIPE = 141  # 128 + SIGPIPE: the reader of the output closed it
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
