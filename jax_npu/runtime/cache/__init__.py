"""The cache folder of the user, and what is kept in it from process to process."""
