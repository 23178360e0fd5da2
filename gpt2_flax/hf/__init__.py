"""A GPT-2 in Hugging Face's folder format: its configuration, tensors and tokenizer."""
