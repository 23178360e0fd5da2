"""The compiled extension, what it counts and reports, and the machine it runs on."""
