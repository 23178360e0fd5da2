"""A model written for other programs: Hugging Face folders, and GGUF files."""
