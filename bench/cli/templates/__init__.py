"""What `bench new method` starts from, each a file that is checked like any other: a method and the tests of one."""
