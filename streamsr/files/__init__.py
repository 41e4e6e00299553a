"""Many files, one after the other: what is done stays done, whatever ends the program."""
