"""The command line itself: its parser, and completion in a shell."""
