"""What is done to a cell, a file for each stage; each only orchestrates the libraries beside it."""
