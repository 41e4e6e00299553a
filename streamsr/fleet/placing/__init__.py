"""Where cameras run: what each costs, what each host carries, who gives way. Pure."""
