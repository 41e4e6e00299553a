"""Time: stamps of files and of what is live, read by one policy and put on one time line."""
